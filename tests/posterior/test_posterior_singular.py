"""Densities without end at a point, and jumps that gradients miss, are told from the rest."""

import math

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.singular import singular_power
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior.importance.draws import score_draws
from gmmvi_ext.posterior.report.jumps import missed_jumps
from gmmvi_ext.posterior.report.singular import singular_point
from gmmvi_ext.targets import CallableTarget, HostTarget

PLACE = np.array([0.4, -1.0], np.float32)
NAMES = ["a", "b"]


def power_law(exponent, axes=2):
    """1/r^exponent in some coordinates, normal in all."""

    def log_prob(x):
        z = x - PLACE
        near = tf.reduce_sum(z[:, :axes] ** 2, -1)
        return -0.5 * exponent * tf.math.log(near) - 0.5 * tf.reduce_sum(z**2, -1)

    return CallableTarget(log_prob, 2)


def draws_of(target):
    """Of a wide and a narrow Gaussian at the place."""
    factors = tf.stack([tf.eye(2), 0.03 * tf.eye(2)])
    loc = tf.stack([tf.constant(PLACE)] * 2)
    mixture = Mixture(tf.math.log([0.5, 0.5]), FullGaussians(loc, factors))
    return score_draws(mixture, target, 4000, 0)


@pytest.mark.parametrize(("exponent", "axes"), [(2.12, 2), (3.5, 2), (1.1, 1), (2.6, 1)])
def test_what_rises_too_fast_to_be_normalized_is_named_with_place_and_power(exponent, axes):
    target = power_law(exponent, axes)
    found = singular_point(target, draws_of(target), NAMES)
    assert found is not None and "a = 0.4" in found
    assert float(found.split("r^")[1]) == pytest.approx(exponent, abs=0.05)


@pytest.mark.parametrize(("exponent", "axes"), [(1.5, 2), (0.7, 1)])
def test_what_rises_more_slowly_can_be_normalized(exponent, axes):
    target = power_law(exponent, axes)
    assert singular_point(target, draws_of(target), NAMES) is None


def test_narrow_modes_and_targets_without_gradients_are_not_singular():
    narrow = CallableTarget(
        lambda x: -0.5e8 * tf.reduce_sum((x - PLACE) ** 2, -1),
        2,
    )
    assert singular_point(narrow, draws_of(narrow), NAMES) is None
    host = HostTarget(lambda x: -0.5 * np.sum(np.asarray(x) ** 2, -1), 2)
    assert singular_point(host, draws_of(host), NAMES) is None


def test_a_place_that_a_search_has_found_tells_what_collapsed_draws_do_not():
    """All draws lie within some roundings of the place: nothing rises between them."""
    target = power_law(2.6, axes=1)
    factor = 1e-7 * tf.eye(2)[tf.newaxis]
    mixture = Mixture(tf.zeros(1), FullGaussians(tf.constant(PLACE)[tf.newaxis], factor))
    draws = score_draws(mixture, target, 500, 0)
    assert singular_point(target, draws, NAMES) is None
    assert "a = 0.4" in singular_point(target, draws, NAMES, PLACE)


def narrow_student(scale):
    def log_prob(x):
        return -2.5 * tf.math.log1p(tf.reduce_sum(((x - PLACE) / scale) ** 2, -1) / 3.0)

    return CallableTarget(log_prob, 2)


@pytest.mark.parametrize("scale", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("off", [0.0, 0.1])
def test_power_laws_around_a_smooth_mode_end_in_it(scale, off):
    """Beyond its width a Student-t falls as a power of the distance, too."""
    counted = CountedTarget(narrow_student(scale))
    assert singular_power(counted, PLACE + off * scale, np.ones(2)) is None


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize(("exponent", "axes"), [(2.12, 2), (2.6, 1), (1.5, 2), (0.7, 1)])
def test_searches_come_upon_what_has_no_end(dtype, exponent, axes):
    """It ends before training, and what can be normalized goes on."""
    base = power_law(exponent, axes)
    target = CallableTarget(base.log_prob, 2, dtype=dtype)
    is_singular = exponent >= axes
    posterior = gmmvi_ext.fit(target, verbose=False, max_evaluations=6000)
    info = posterior.run_info
    assert ("singular" in info) is is_singular and (info["iterations"] == 0) is is_singular
    report = posterior.report(2000)
    assert ("rises without end at a" in report.verdict.replace("x[0]", "a")) is is_singular
    if is_singular:
        assert "prior" in report.verdict and "train longer" not in report.verdict
        assert info["num_target_evaluations"] < 4000


def stairs(x):
    return -0.5 * tf.reduce_sum(x**2, -1) - tf.reduce_sum(tf.floor(2.0 * tf.abs(x)), -1)


def test_jumps_between_draws_are_seen():
    x = np.random.default_rng(0).standard_normal((500, 2)).astype(np.float32)
    assert missed_jumps(CallableTarget(stairs, 2), x) > 0.9


def test_a_gradient_that_is_zero_everywhere_misses_what_is_smooth():
    def cut(z):
        return tf.stop_gradient(-0.5 * tf.reduce_sum(z**2, axis=1)) + 0.0 * z[:, 0]

    x = np.random.default_rng(0).standard_normal((1000, 2))
    # Two draws differ by |r^2 - s^2| / 2, an exponential's difference: log 2 in the median, and
    # more on the way from one to the other, which passes nearer to the mode.
    assert math.log(2.0) < missed_jumps(CallableTarget(cut, 2), x) < 4.0
    flat = CallableTarget(lambda z: 0.0 * z[:, 0], 2)
    assert missed_jumps(flat, x) == 0.0


@pytest.mark.parametrize(
    "log_prob",
    [
        lambda x: -0.5 * tf.reduce_sum(x**2, -1),
        lambda x: -3.0 * tf.reduce_sum(tf.abs(x), -1),
        lambda x: -50.0 * (x[:, 1] - x[:, 0] ** 2) ** 2 - x[:, 0] ** 2,
        lambda x: -1e6 - tf.reduce_sum(x**4, -1),
    ],
    ids=["normal", "kink", "banana", "rounded"],
)
def test_smooth_densities_and_kinks_do_not_jump(log_prob):
    x = np.random.default_rng(1).standard_normal((500, 2)).astype(np.float32)
    assert missed_jumps(CallableTarget(log_prob, 2), x) == 0.0
    assert missed_jumps(HostTarget(lambda z: log_prob(tf.constant(z)).numpy(), 2), x) == 0.0


@pytest.mark.parametrize(("height", "width"), [(6.0, 0.02), (30.0, 0.03)])
def test_what_rises_and_falls_within_a_step_is_no_jump(height, width):
    """As the log density between the modes of a mixture; steps of the check are about 0.05."""
    at = np.linspace(-3.0, 3.0, 25).astype(np.float32)

    def peaks(x):
        return height * tf.reduce_sum(tf.exp(-0.5 * tf.square((x - at) / width)), axis=1)

    x = np.random.default_rng(0).standard_normal((500, 1)).astype(np.float32)
    assert missed_jumps(CallableTarget(peaks, 1), x) == 0.0


@pytest.mark.parametrize(("height", "rate"), [(3.0, 10.0), (0.003, 1e4)])
def test_jumps_of_any_size_stay_when_steps_are_divided(height, rate):
    def steps(x):
        return -(x[:, 0] ** 2) - height * tf.floor(rate * tf.abs(x[:, 0]))

    x = np.random.default_rng(0).standard_normal((500, 1)).astype(np.float32)
    typical = 30.0 * np.median(np.abs(x[:250] - x[250:]))
    assert 0.4 * typical < missed_jumps(CallableTarget(steps, 1), x) < 1.5 * typical


def test_rounding_of_coordinates_is_no_jump():
    """A ridge across the axes: at 1e7 float32 moves points by its width."""

    def ridge(x):
        return -0.5 * tf.square(0.6 * x[:, 0] - 0.8 * x[:, 1]) - 0.5e-16 * tf.reduce_sum(x**2, -1)

    x = np.random.default_rng(0).standard_normal((400, 1)) * 6e7 * np.array([0.8, 0.6])
    assert missed_jumps(CallableTarget(ridge, 2), x) == 0.0


def test_steps_from_mode_to_mode_of_a_grid_are_no_jumps():
    """400 modes 10 sd apart: a step goes from one to the next, with the same slope at both ends."""
    grid = 10.0 * np.stack(np.meshgrid(np.arange(20), np.arange(20)), -1).reshape(-1, 2)
    centers = grid.astype(np.float32)

    def log_prob(x):
        square = tf.reduce_sum(tf.square(x[:, tf.newaxis] - centers), axis=2)
        return tf.reduce_logsumexp(-0.5 * square, axis=1)

    rng = np.random.default_rng(3)
    x = (grid[rng.integers(400, size=500)] + rng.standard_normal((500, 2))).astype(np.float32)
    assert missed_jumps(CallableTarget(log_prob, 2), x) == 0.0
    steps = CallableTarget(lambda x: log_prob(x) + 5.0 * tf.floor(x[:, 0] / 7.0), 2)
    assert missed_jumps(steps, x) > 2.0
