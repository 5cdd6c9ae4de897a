"""Measures of coverage: what counts as a found mode."""

import numpy as np
import tensorflow as tf

from gmmvi_ext import gaussians
from gmmvi_ext.targets import build_target


def _mixture(loc, scale=0.1):
    loc = tf.constant(np.asarray(loc), tf.float32)
    count, dim = loc.shape
    return gaussians.Mixture(
        tf.fill([count], -tf.math.log(float(count))),
        gaussians.FullGaussians(loc, scale * tf.eye(dim, batch_shape=[count])),
    )


def test_a_mode_is_found_within_six_root_d():
    target = build_target("GMM", {"num_dimensions": 4})
    radius, loc = 6 * np.sqrt(4), target.loc.numpy()
    towards = np.array([1.0, 0, 0, 0])
    near = _mixture(loc[:3] + 0.98 * radius * towards)
    # components may find several modes; what matters is the distance of each mode
    distances = np.linalg.norm(loc[:, None] - near.components.loc.numpy(), axis=-1).min(1)
    expected = float(np.sum(distances < radius))
    assert target.metrics(near, None) == {"num_detected_modes": expected}
    assert expected >= 3
    assert target.metrics(_mixture(loc[:1] + 1000), None) == {"num_detected_modes": 0.0}
    assert target.metrics(_mixture(loc), None) == {"num_detected_modes": 10.0}


def test_student_t_modes():
    target = build_target("STM", {"num_dimensions": 20})
    assert target.metrics(_mixture(target.loc.numpy()), None) == {"num_detected_modes": 10.0}


def test_mog40_counts_modes_that_get_their_share_of_samples():
    target = build_target("mog40")
    samples = target.sample(20_000, tf.constant([0, 1]))
    assert target.metrics(None, samples) == {"num_detected_modes": 40.0}
    loc = target.loc.numpy()
    half = samples.numpy()[np.linalg.norm(samples.numpy()[:, None] - loc, axis=-1).argmin(1) < 20]
    assert target.metrics(None, tf.constant(half))["num_detected_modes"] <= 21.0


def _reaching(target, goal, bend) -> np.ndarray:
    """Joint angles that put the tip at `goal`, near a start bent by `bend`, by Gauss-Newton."""
    theta = np.full(10, bend)
    theta[0] = np.arctan2(goal[1], goal[0]) - 4.5 * bend
    for _ in range(100):
        angles = np.cumsum(theta)
        miss = np.array([np.cos(angles).sum(), np.sin(angles).sum()]) - goal
        columns = [(-np.sin(angles[i:]).sum(), np.cos(angles[i:]).sum()) for i in range(10)]
        theta -= 0.5 * np.linalg.pinv(np.array(columns).T) @ miss
    return theta


def test_planar_modes_are_counted_by_gaps_of_the_first_joint():
    target = build_target("PlanarRobot4")
    bent = [_reaching(target, (7, 0), bend) for bend in (0.3, -0.3)]
    assert abs(bent[0][0] - bent[1][0]) > 0.4
    up = _reaching(target, (0, 7), 0.3)
    missing = bent[0] + 0.2
    loc = np.stack([*bent, bent[0] + 1e-4, up, missing])
    metrics = target.metrics(_mixture(loc), None)
    assert metrics == {
        "num_detected_modes": 3.0,
        "num_modes_goal_1": 2.0,
        "num_modes_goal_2": 0.0,
        "num_modes_goal_3": 1.0,
        "num_modes_goal_4": 0.0,
    }


def test_figures_of_the_arm_and_the_postures_have_content():
    arm = build_target("PlanarRobot4")
    mixture = _mixture(np.random.RandomState(0).standard_normal((5, 10)))
    samples, _ = gaussians.sample(mixture, 30, tf.constant([0, 0]))
    figure = arm.figures(mixture, samples)["arms"]
    means, draws = (axis.collections[0].get_segments() for axis in figure.axes)
    assert len(means) == 5 and len(draws) == 30
    assert means[0].shape == (11, 2)  # the base and ten joints
    np.testing.assert_allclose(np.linalg.norm(np.diff(means[0], axis=0), axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(means[2][-1], arm.tip(mixture.components.loc)[2], rtol=1e-4)


def test_marginal_figure_shows_the_mixture_it_is_given():
    target = build_target("GMM", {"num_dimensions": 3})
    mixture = gaussians.Mixture(
        target.log_weights,
        gaussians.FullGaussians(
            target.loc, tf.linalg.cholesky(tf.matmul(target.scale, target.scale, transpose_b=True))
        ),
    )
    figure = target.figures(mixture, None)["marginals"]
    assert len(figure.axes) == 3
    for axis in figure.axes:
        truth, model = (line.get_ydata() for line in axis.lines)
        np.testing.assert_allclose(model, truth, rtol=1e-3, atol=1e-6)
