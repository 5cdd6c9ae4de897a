"""A planar arm with ten joints that has to reach one of several goals (D = number of links).

    log p(theta) = log N(theta; 0, diag(1, 0.2^2, ..)) + max_g log N(tip(theta); goal_g, 0.01^2 I)

with unit links: tip = sum_i (cos phi_i, sin phi_i), phi_i = theta_1 + .. + theta_i. The posterior
is a curved sheet with many ways of bending the arm; the normalizer is unknown.
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.targets import pictures
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.benchmarks.checks import check_count, check_positive
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike, Seed, TensorLike

__all__ = ["PlanarRobot", "planar_robot_four_goals", "planar_robot_one_goal"]

# How the metric counts ways of reaching a goal (those of the GMMVI benchmarks).
MAX_TIP_ERROR = 0.05
MIN_LOG_PROB = -7.0
MIN_GAP = 0.4  # between the first joint angles of two different ways


class PlanarRobot(Target):
    """The arm.

    Args:
      goals: positions, [G, 2].
      num_links: D.
      first_prior_std, prior_std: standard deviations of the first and of the other joints.
      likelihood_std: accuracy with which the tip has to reach a goal.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import PlanarRobot
        >>> arm = PlanarRobot([[7.0, 0.0]], num_links=10)
        >>> print(arm.tip(tf.zeros([1, 10])).numpy())  # stretched out
        [[10.  0.]]
    """

    def __init__(
        self,
        goals: TensorLike,
        *,
        num_links: int = 10,
        first_prior_std: float = 1.0,
        prior_std: float = 0.2,
        likelihood_std: float = 0.01,
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        super().__init__(check_count("num_links", num_links), dtype=dtype, name=name)
        stddev = np.full(num_links, check_positive("prior_std", prior_std))
        stddev[0] = check_positive("first_prior_std", first_prior_std)
        self.likelihood_std = check_positive("likelihood_std", likelihood_std)
        self.goals = tf.constant(goals, self.dtype)
        self._prior_stddev = tf.constant(stddev, self.dtype)
        self._log_constant = float(
            -0.5 * (num_links + 2) * math.log(2 * math.pi)
            - np.log(stddev).sum()
            - 2 * math.log(self.likelihood_std)
        )
        self.parameter_names = tuple(f"joint_{i + 1}" for i in range(num_links))

    def tip(self, x: tf.Tensor) -> tf.Tensor:
        """Position of the end of the arm, [N, 2]."""
        angles = tf.cumsum(x, axis=1)
        return tf.stack([tf.reduce_sum(tf.cos(angles), 1), tf.reduce_sum(tf.sin(angles), 1)], 1)

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        squares = tf.reduce_sum(tf.square(x / self._prior_stddev), axis=1)
        misses = tf.reduce_sum(tf.square(self.tip(x)[:, tf.newaxis] - self.goals), axis=-1)
        nearest = tf.reduce_min(misses, axis=1) / self.likelihood_std**2
        return self._log_constant - 0.5 * (squares + nearest)

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        angles = tf.cumsum(x, axis=1)
        cos, sin = tf.cos(angles), tf.sin(angles)  # [N, D]
        tip = tf.stack([tf.reduce_sum(cos, axis=1), tf.reduce_sum(sin, axis=1)], axis=1)
        differences = tip[:, tf.newaxis] - self.goals  # [N, G, 2]
        misses = tf.reduce_sum(tf.square(differences), axis=-1)
        chosen = tf.argmin(misses, axis=1, output_type=tf.int32)
        pull = tf.gather(differences, chosen, batch_dims=1) / self.likelihood_std**2  # [N, 2]
        scaled = x / self._prior_stddev
        nearest = tf.reduce_min(misses, axis=1) / self.likelihood_std**2
        values = self._log_constant - 0.5 * (tf.reduce_sum(tf.square(scaled), axis=1) + nearest)
        # turning joint i moves the tip by the sum over the links from i on
        by_angle = pull[:, :1] * sin - pull[:, 1:] * cos  # [N, D]
        return values, tf.cumsum(by_angle, axis=1, reverse=True) - scaled / self._prior_stddev

    def metrics(self, mixture: Mixture, samples: tf.Tensor) -> dict[str, float]:
        """`num_modes_goal_<i>` for each goal, and their sum `num_detected_modes`.

        Component means count that reach the goal within 0.05 and have a log density above -7;
        sorted by the first joint angle, every gap above 0.4 begins another mode.
        """
        means = tf.cast(mixture.components.loc, self.dtype)
        likely = self.log_prob(means).numpy() > MIN_LOG_PROB
        differences = self.tip(means)[:, tf.newaxis] - self.goals
        reached = (tf.norm(differences, axis=-1).numpy() < MAX_TIP_ERROR) & likely[:, np.newaxis]
        counts = {}
        for i, mask in enumerate(reached.T):
            first = np.sort(means.numpy()[mask, 0])
            gaps = int(np.sum(np.diff(first) > MIN_GAP))
            counts[f"num_modes_goal_{i + 1}"] = float(gaps + 1 if len(first) else 0)
        return {"num_detected_modes": float(sum(counts.values())), **counts}

    def figures(self, mixture: Mixture, samples: tf.Tensor) -> dict:
        """`arms`: the component means (opacity by weight) and 200 samples as arms."""
        figure = pictures.new_figure(10.0, 5.0)
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        weights = np.exp(mixture.log_weights.numpy())
        self._draw_arms(axes[0], mixture.components.loc, np.sqrt(weights / weights.max()))
        axes[0].set_title(f"means of {len(weights)} components")
        chosen = np.asarray(samples)[:200]
        self._draw_arms(axes[1], chosen, np.full(len(chosen), 0.25))
        axes[1].set_title(f"{len(chosen)} samples")
        return {"arms": figure}

    def _draw_arms(self, ax, configurations, opacity) -> None:
        from matplotlib.collections import LineCollection  # on use

        angles = np.cumsum(np.asarray(configurations), axis=1)
        steps = np.stack([np.cos(angles), np.sin(angles)], axis=-1)  # [N, D, 2]
        joints = np.concatenate([np.zeros_like(steps[:, :1]), np.cumsum(steps, axis=1)], axis=1)
        colors = np.zeros((len(joints), 4))
        colors[:, :3] = (0.12, 0.35, 0.6)
        colors[:, 3] = np.clip(opacity, 0.02, 1.0)
        ax.add_collection(LineCollection(list(joints), colors=colors, linewidths=0.8))
        ax.plot(*self.goals.numpy().T, "x", color="tab:red", markersize=8, zorder=3)
        reach = self.num_dimensions
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


@TARGETS.register("PlanarRobot1", "planar_robot_1")
def planar_robot_one_goal(
    *,
    num_links: int = 10,
    prior_std: float = 0.2,
    likelihood_std: float = 0.01,
    dtype: DTypeLike = tf.float32,
) -> PlanarRobot:
    """One goal at (7, 0).

    Example:
        >>> from gmmvi_ext.targets.benchmarks import planar_robot_one_goal
        >>> target = planar_robot_one_goal()
        >>> target.num_dimensions, len(target.goals)
        (10, 1)
    """
    return PlanarRobot(
        [[7.0, 0.0]],
        num_links=num_links,
        prior_std=prior_std,
        likelihood_std=likelihood_std,
        dtype=dtype,
        name="planar_robot_1",
    )


@TARGETS.register("PlanarRobot4", "planar_robot_4")
def planar_robot_four_goals(
    *,
    num_links: int = 10,
    prior_std: float = 0.2,
    likelihood_std: float = 0.01,
    dtype: DTypeLike = tf.float32,
) -> PlanarRobot:
    """Four goals at (7, 0), (-7, 0), (0, 7), (0, -7).

    Example:
        >>> from gmmvi_ext.targets.benchmarks import planar_robot_four_goals
        >>> target = planar_robot_four_goals()
        >>> target.num_dimensions, len(target.goals)
        (10, 4)
    """
    return PlanarRobot(
        [[7.0, 0.0], [-7.0, 0.0], [0.0, 7.0], [0.0, -7.0]],
        num_links=num_links,
        prior_std=prior_std,
        likelihood_std=likelihood_std,
        dtype=dtype,
        name="planar_robot_4",
    )
