"""TALOS: kinematics and density against homogeneous matrices from the robot's description."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from gmmvi_ext import gaussians
from gmmvi_ext.targets import build_target
from gmmvi_ext.targets.benchmarks.talos import log_normal_cdf
from gmmvi_ext.targets.benchmarks.talos_model import (
    JOINT_LIMITS,
    JOINT_NAMES,
    forward_kinematics,
)

ZERO = (0.0, 0.0, 0.0)
HALF = math.pi / 2


def _arm(side):
    """(name, origin, yaw of the joint's frame, axis, mass, center) of one arm; side -1 is right."""
    name = "right" if side < 0 else "left"
    yaw_sensor, yaw_tool = (-HALF, -HALF) if side < 0 else (-3 * HALF, 3 * HALF)
    return [
        (
            f"arm_{name}_1",
            (0, side * 0.1575, 0.232),
            0,
            "z",
            1.42896,
            (-0.01346, side * 0.0913, 0.04812),
        ),
        (
            f"arm_{name}_2",
            (0.00493, side * 0.1365, 0.04673),
            0,
            "x",
            1.67729,
            (0.02607, 0.00049, -0.05209),
        ),
        (f"arm_{name}_3", ZERO, 0, "z", 1.47029, (0.00841, 0.01428, -0.22291)),
        (f"arm_{name}_4", (0.02, 0, -0.273), 0, "y", 1.10216, (-0.00655, -0.02107, -0.02612)),
        (f"arm_{name}_5", (-0.02, 0, -0.2643), 0, "z", 1.77792, (-0.00006, 0.00326, 0.07963)),
        (f"arm_{name}_6", ZERO, 0, "x", 0.30931, (0.00002, -0.00197, -0.00059)),
        (f"arm_{name}_7", ZERO, 0, "y", 0.308441, (0.007525, 0.001378, -0.024630)),
        (None, (0, 0, -0.051), yaw_sensor, None, 1.0, ZERO),
        (None, (0, 0, -0.012725), yaw_tool, None, 1.0, ZERO),
        (None, (0, 0, -0.02875), 0, None, 0.61585, (-0.00534, 0.00362, -0.02357)),
    ]


def _leg(side):
    name = "right" if side < 0 else "left"
    return [
        (
            f"leg_{name}_1",
            (-0.02, side * 0.085, -0.27105),
            0,
            "z",
            1.88569,
            (0.0232, -0.00009, 0.04949),
        ),
        (f"leg_{name}_2", ZERO, 0, "x", 2.37607, (0.01583, -0.00021, 0.00619)),
        (f"leg_{name}_3", ZERO, 0, "y", 6.82734, (0.00658, side * 0.06563, -0.17278)),
        (f"leg_{name}_4", (0, 0, -0.38), 0, "y", 3.63668, (0.0152, side * 0.02331, -0.12063)),
        (f"leg_{name}_5", (0, 0, -0.325), 0, "y", 1.24433, (-0.01106, side * 0.04708, 0.05271)),
        (f"leg_{name}_6", ZERO, 0, "x", 1.59457, (-0.02087, -0.00019, -0.06059)),
        (None, (0, 0, -0.107), 0, None, 0.01, ZERO),
    ]


TORSO = [
    ("torso_1", (0, 0, 0.0722), 0, "z", 3.02433, (0.00013, -0.00001, -0.01306)),
    ("torso_2", ZERO, 0, "y", 17.55011, (-0.04551, -0.00053, 0.16386)),
]
CHAINS = {
    "right gripper": TORSO + _arm(-1),
    "left gripper": TORSO + _arm(+1),
    "right sole": _leg(-1),
    "left sole": _leg(+1),
}


def _transform(translation=ZERO, axis="z", angle=0.0) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    matrix = np.eye(4)
    matrix[:3, 3] = translation
    matrix[:3, :3] = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    return matrix


def _twin(x):
    """Last frames of the four chains [4, 4], and the center of mass."""
    angles = dict(zip(JOINT_NAMES, x[:28], strict=True))
    roll, pitch, yaw = x[31:]
    base = (
        _transform(x[28:31])
        @ _transform(axis="z", angle=yaw)
        @ _transform(axis="y", angle=pitch)
        @ _transform(axis="x", angle=roll)
    )
    ends, moment, mass = {}, np.zeros(3), 0.0
    for end, links in CHAINS.items():
        frame = base
        for name, origin, frame_yaw, axis, link_mass, center in links:
            frame = frame @ _transform(origin, "z", frame_yaw)
            if name is not None:
                frame = frame @ _transform(axis=axis, angle=angles[name])
            moment += link_mass * (frame @ [*center, 1.0])[:3]
            mass += link_mass
        ends[end] = frame
    return ends, moment / mass, mass


def _log_cdf(t):
    return stats.norm.logcdf(t)


def _log_prob_twin(x, context):
    ends, center, _ = _twin(x)
    total = 0.0
    for value, (low, high) in zip(x[:28], JOINT_LIMITS, strict=True):
        total += _log_cdf((value - low) / 0.05) + _log_cdf((high - value) / 0.05)
    for d in range(2):
        lean = center[d] - ends["left sole"][d, 3]
        total += _log_cdf((lean + 0.14) / 0.01) + _log_cdf((0.14 - lean) / 0.01)
    for side, y in (("right", -0.09), ("left", 0.09)):
        frame = ends[f"{side} sole"]
        total += stats.norm([-0.02, y, 0], 0.02).logpdf(frame[:3, 3]).sum()
        total += stats.norm(np.eye(3), 0.1).logpdf(frame[:3, :3]).sum()
    return total + stats.norm(context, 0.02).logpdf(ends["left gripper"][:3, 3]).sum()


def _configurations(num_points):
    """Random configurations, some of them beyond the limits."""
    random = np.random.RandomState(2)
    low, high = np.array(JOINT_LIMITS).T
    joints = low + (high - low) * random.uniform(-0.05, 1.05, size=(num_points, 28))
    base = [0.0, 0.0, 1.0] + 0.2 * random.standard_normal((num_points, 3))
    return np.hstack([joints, base, 0.4 * random.standard_normal((num_points, 3))])


def test_masses_add_up():
    assert _twin(np.zeros(34))[2] == pytest.approx(97.67868, abs=1e-4)


def test_kinematics_equal_homogeneous_matrices():
    x = _configurations(5)
    posture = forward_kinematics(tf.constant(x))
    for n, row in enumerate(x):
        ends, center, _ = _twin(row)
        np.testing.assert_allclose(posture.center_of_mass[:, n], center, atol=1e-12)
        for side, name in enumerate(("right", "left")):
            sole, gripper = ends[f"{name} sole"], ends[f"{name} gripper"]
            np.testing.assert_allclose(posture.sole[side, :, n], sole[:3, 3], atol=1e-12)
            np.testing.assert_allclose(
                posture.sole_rotation[side, :, :, n], sole[:3, :3], atol=1e-12
            )
            np.testing.assert_allclose(posture.gripper[side, :, n], gripper[:3, 3], atol=1e-12)


def test_density_equals_the_twin():
    context = (0.3, 0.2, 1.1)
    x = _configurations(6)
    target = build_target("Talos", {"context": context}, dtype=tf.float64)
    twin = [_log_prob_twin(row, context) for row in x]
    np.testing.assert_allclose(target.log_prob(tf.constant(x)), twin, rtol=1e-10)


def test_mirrored_posture_is_mirrored():
    """Reflection at the x-z plane: left and right swap, rotations about x and z change sign."""
    x = _configurations(3)
    sign = {"x": -1.0, "y": 1.0, "z": -1.0}
    axes = {name: axis for links in CHAINS.values() for name, _, _, axis, _, _ in links}
    swap = [
        JOINT_NAMES.index(name.replace("right", "?").replace("left", "right").replace("?", "left"))
        for name in JOINT_NAMES
    ]
    mirrored = x.copy()
    mirrored[:, :28] = x[:, swap] * [sign[axes[name]] for name in JOINT_NAMES]
    mirrored[:, 29] *= -1
    mirrored[:, [31, 33]] *= -1
    one, other = (forward_kinematics(tf.constant(each)) for each in (x, mirrored))
    flip = np.array([1.0, -1.0, 1.0])[:, None]
    np.testing.assert_allclose(one.gripper[0], other.gripper[1] * flip, atol=1e-12)
    np.testing.assert_allclose(one.sole[1], other.sole[0] * flip, atol=1e-12)


def test_log_normal_cdf_and_its_derivative_far_into_both_tails():
    t = tf.constant([-300.0, -37.0, -5.0, -1e-9, 0.0, 1e-9, 0.7, 6.0, 40.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(t)
        value = log_normal_cdf(t)
    np.testing.assert_allclose(value, stats.norm.logcdf(t.numpy()), rtol=1e-12, atol=1e-300)
    exact = np.exp(stats.norm.logpdf(t.numpy()) - stats.norm.logcdf(t.numpy()))
    np.testing.assert_allclose(tape.gradient(value, t), exact, rtol=1e-9)
    single = log_normal_cdf(tf.constant([-1e4, -80.0, -13.0, 3.0]))
    np.testing.assert_allclose(single, stats.norm.logcdf([-1e4, -80.0, -13.0, 3.0]), rtol=2e-6)


def test_single_precision_is_enough_near_a_good_posture():
    single, double = build_target("Talos"), build_target("Talos", dtype=tf.float64)
    x = _reaching_posture(double)
    near = x + 0.01 * np.random.RandomState(0).standard_normal((20, 34))
    exact = double.log_prob(tf.constant(near)).numpy()
    np.testing.assert_allclose(single.log_prob(tf.constant(near, tf.float32)), exact, atol=5e-3)


def _reaching_posture(target) -> np.ndarray:
    """A posture of high density, by plain gradient ascent with Adam from the middle of the box."""
    start = np.concatenate([np.mean(JOINT_LIMITS, axis=1), [0, 0, 0.95], np.zeros(3)])
    x, first, second = tf.constant(start[None]), 0.0, 0.0
    gradient = tf.function(target.log_prob_and_grad)
    for step in range(1, 401):
        grad = gradient(x)[1]
        first, second = 0.9 * first + 0.1 * grad, 0.99 * second + 0.01 * grad**2
        scale = tf.sqrt(second / (1 - 0.99**step)) + 1e-9
        x += 0.03 * (1 - step / 401) * first / (1 - 0.9**step) / scale
    return x.numpy()


def test_gradient_leads_to_postures_that_stand_and_reach():
    target = build_target("Talos", dtype=tf.float64)
    x = _reaching_posture(target)
    posture = forward_kinematics(tf.constant(x))
    np.testing.assert_allclose(posture.gripper[1, :, 0], [0.1, 0.5, 1.0], atol=0.03)
    np.testing.assert_allclose(
        posture.sole[:, :, 0], [[-0.02, -0.09, 0], [-0.02, 0.09, 0]], atol=0.03
    )
    mixture = gaussians.Mixture(
        tf.zeros([1], tf.float64),
        gaussians.FullGaussians(
            tf.constant(x), 1e-3 * tf.eye(34, batch_shape=[1], dtype=tf.float64)
        ),
    )
    draws, _ = gaussians.sample(mixture, 100, tf.constant([0, 0]))
    metrics = target.metrics(mixture, draws)
    assert metrics == {"share_reached": 1.0, "share_standing": 1.0, "share_balanced": 1.0}
