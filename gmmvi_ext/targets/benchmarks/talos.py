"""Inverse kinematics of the humanoid TALOS (D = 34): reach a point, keep the feet and the balance.

    log p = S(joints; limits, 0.05) + S(center of mass - left sole, horizontal; +-0.14, 0.01)
          + log N([position, rotation] of each sole; its place on the floor; 0.02 and 0.1)
          + log N(left gripper; context, 0.02^2 I)

with the soft box S(v; a, b, s) = sum log Phi((v - a) / s) + log Phi((b - v) / s), unnormalized. The
right arm is free but for its limits and the balance.

References:
  Pignat, Lembono, Calinon (2020), Variational Inference with Mixture Model Approximation for
  Applications in Robotics, ICRA.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.targets import pictures
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.benchmarks.talos_model import (
    JOINT_LIMITS,
    JOINT_NAMES,
    forward_kinematics,
)
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["Talos", "log_normal_cdf"]

JOINT_STD = 0.05
BALANCE_HALF_WIDTH, BALANCE_STD = 0.14, 0.01
SOLE_PLACES = ((-0.02, -0.09, 0.0), (-0.02, 0.09, 0.0))  # right, left
SOLE_STD, SOLE_ROTATION_STD = 0.02, 0.1
GRIPPER_STD = 0.02
REACHED, BALANCED = 0.06, 0.15  # meters: when a posture counts in the metrics

tfp_math = lazy_module("tensorflow_probability.python.math")
_LOG_2_PI = math.log(2 * math.pi)


@tf.custom_gradient
def log_normal_cdf(t: tf.Tensor) -> tf.Tensor:
    """log Phi(t), exact far into the lower tail, with its exact derivative."""
    root_half = math.sqrt(0.5)
    below = tf.minimum(t, 0.0)  # each branch sees only arguments it can stand
    scaled = tfp_math.erfcx(-root_half * below)  # exp(t^2 / 2) erfc(-t / sqrt 2)
    upper = 0.5 * tf.math.erfc(root_half * tf.maximum(t, 0.0))  # Phi(-t)
    is_below = t < 0.0
    value = tf.where(
        is_below, tf.math.log(0.5 * scaled) - 0.5 * tf.square(below), tf.math.log1p(-upper)
    )

    def grad(upstream):
        density = tf.exp(-0.5 * tf.square(tf.maximum(t, 0.0))) / math.sqrt(2 * math.pi)
        slope = tf.where(is_below, math.sqrt(2 / math.pi) / scaled, density / (1.0 - upper))
        return upstream * slope

    return value, grad


def _soft_box(values, low, high, stddev: float) -> tf.Tensor:
    """Sum over the leading axis of both log Phi terms: [M, N] -> [N]."""
    both = tf.concat([(values - low) / stddev, (high - values) / stddev], axis=0)
    return tf.reduce_sum(log_normal_cdf(both), axis=0)


def _log_normal(squares: tf.Tensor, stddev: float, count: int) -> tf.Tensor:
    """Log density of `count` independent normals from the sum of their squares."""
    return -0.5 * squares / stddev**2 - count * (math.log(stddev) + 0.5 * _LOG_2_PI)


@TARGETS.register("Talos", "TALOS")
class Talos(Target):
    """Postures that put the left gripper at `context`; the normalizer is unknown.

    Args:
      context: where the left gripper has to be, (x, y, z) in meters.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import Talos
        >>> target = Talos()
        >>> target.num_dimensions, target.log_prob(tf.zeros([2, target.num_dimensions])).shape
        (34, TensorShape([2]))
    """

    def __init__(
        self, *, context: Sequence[float] = (0.1, 0.5, 1.0), dtype: DTypeLike = tf.float32
    ):
        place = np.asarray(context, np.float64)
        if place.shape != (3,):
            raise ValueError(f"`context` must be a position (x, y, z), got shape {place.shape}.")
        super().__init__(34, dtype=dtype, name="talos")
        self.context = tuple(float(value) for value in place)
        self.parameter_names = (
            *JOINT_NAMES,
            *("base_x", "base_y", "base_z"),
            *("roll", "pitch", "yaw"),
        )

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        posture = forward_kinematics(x)
        limits = tf.constant(JOINT_LIMITS, x.dtype)
        joints = tf.transpose(x[:, :28])
        value = _soft_box(joints, limits[:, :1], limits[:, 1:], JOINT_STD)
        lean = posture.center_of_mass[:2] - posture.sole[1, :2]
        value += _soft_box(lean, -BALANCE_HALF_WIDTH, BALANCE_HALF_WIDTH, BALANCE_STD)
        places = tf.constant(SOLE_PLACES, x.dtype)[..., tf.newaxis]
        upright = tf.eye(3, dtype=x.dtype)[..., tf.newaxis]
        shift = tf.reduce_sum(tf.square(posture.sole - places), axis=[0, 1])
        turn = tf.reduce_sum(tf.square(posture.sole_rotation - upright), axis=[0, 1, 2])
        value += _log_normal(shift, SOLE_STD, 6) + _log_normal(turn, SOLE_ROTATION_STD, 18)
        goal = tf.constant(self.context, x.dtype)[:, tf.newaxis]
        miss = tf.reduce_sum(tf.square(posture.gripper[1] - goal), axis=0)
        return value + _log_normal(miss, GRIPPER_STD, 3)

    def metrics(self, mixture: Mixture, samples: tf.Tensor) -> dict[str, float]:
        """Shares of samples that reach the point (6 cm), stand on both soles, keep the balance."""
        posture = forward_kinematics(tf.cast(samples, self.dtype))
        gripper = posture.gripper[1].numpy() - np.asarray(self.context)[:, None]
        soles = posture.sole.numpy() - np.asarray(SOLE_PLACES)[..., None]
        lean = posture.center_of_mass[:2].numpy() - posture.sole[1, :2].numpy()
        return {
            "share_reached": float(np.mean(np.linalg.norm(gripper, axis=0) < REACHED)),
            "share_standing": float(np.mean(np.linalg.norm(soles, axis=1).max(axis=0) < REACHED)),
            "share_balanced": float(np.mean(np.abs(lean).max(axis=0) < BALANCED)),
        }

    def figures(self, mixture: Mixture, samples: tf.Tensor) -> dict:
        """`postures`: up to a hundred samples as stick figures, and six of them one by one."""
        return {"postures": _draw_postures(tf.cast(samples[:100], self.dtype), self.context)}


def _draw_postures(x: tf.Tensor, context):
    """Stick figures of configurations [N, 34]."""
    posture = forward_kinematics(x)
    arms = posture.limbs["arms"]
    neck = tf.reduce_mean(arms[1], axis=0, keepdims=True)  # between the shoulders
    limbs = {
        "torso": [*posture.limbs["torso"], neck],
        "arms": [neck, *arms[1:]],
        "legs": posture.limbs["legs"],
    }
    lines = {}
    for name, points in limbs.items():
        lines[name] = _polylines(points, x.shape[0])  # [N, S, M, 3]
    figure = pictures.new_figure(13.0, 7.5)
    grid = figure.add_gridspec(2, 5)
    cells = [grid[:, :2], *(grid[row, column] for row in range(2) for column in range(2, 5))]
    for number, cell in enumerate(cells):
        ax = figure.add_subplot(cell, projection="3d")
        chosen = slice(None) if number == 0 else slice(number - 1, number)
        _draw_on(ax, {name: points[chosen] for name, points in lines.items()}, number == 0)
        ax.scatter(*context, color="tab:red", marker="*", s=60, depthshade=False)
        for place in SOLE_PLACES:
            ax.scatter(*place, color="0.2", marker="s", s=16, depthshade=False)
        ax.set_title(f"{x.shape[0]} samples" if number == 0 else f"sample {number}", fontsize=9)
    return figure


def _polylines(points: list[tf.Tensor], num_samples: int) -> np.ndarray:
    """Positions along a limb as [N, S, M, 3] from M tensors [S, 3, N]; sides are broadcast."""
    sides = max(point.shape[0] for point in points)
    full = [np.broadcast_to(point.numpy(), (sides, 3, num_samples)) for point in points]
    return np.transpose(np.stack(full), (3, 1, 0, 2))


def _draw_on(ax, lines: dict[str, np.ndarray], many: bool) -> None:
    from mpl_toolkits.mplot3d.art3d import Line3DCollection  # on use

    colors = {
        "torso": ("0.2",),
        "arms": ("tab:cyan", "tab:orange"),  # right, left
        "legs": ("tab:blue", "tab:green"),
    }
    style = {"linewidths": 0.7, "alpha": 0.35} if many else {"linewidths": 2.0}
    for name, points in lines.items():
        for side, color in enumerate(colors[name]):
            segments = list(points[:, side])
            ax.add_collection3d(Line3DCollection(segments, colors=color, **style))
    ax.set(xlim=(-0.7, 0.7), ylim=(-0.7, 0.7), zlim=(0.0, 1.8))
    ax.set_box_aspect((1.4, 1.4, 1.8), zoom=1.2)
    ax.view_init(elev=12, azim=-35)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(labelsize=6)
