"""Gaussians at modes: exact where the target is one, narrowed where the mode is bent."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.laplace import fitting_gaussians, laplace_mass
from gmmvi_ext.targets.callables import CallableTarget

FACTOR = np.array([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [-0.3, 0.2, 0.1]])
LOC = np.array([[1.0, -2.0, 0.5]])
THICKNESS, CURVATURE = 0.01, 3.0


def counted(fn, dim):
    return CountedTarget(CallableTarget(fn, num_dimensions=dim, dtype=tf.float64))


def gaussian(x):
    z = tf.linalg.triangular_solve(tf.constant(FACTOR), tf.transpose(x - LOC))
    return 5.0 - 0.5 * tf.reduce_sum(z**2, axis=0)


def sheet(x):
    """A thin sheet that bends in both of its directions."""
    across = (x[:, 2] - CURVATURE * (x[:, 0] ** 2 + x[:, 1] ** 2)) / THICKNESS
    return -0.5 * (x[:, 0] ** 2 + x[:, 1] ** 2 + across**2)


def test_the_mass_of_a_gaussian_is_that_of_laplace():
    exact = 5.0 + np.log(np.diagonal(FACTOR)).sum() + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(laplace_mass(np.array([5.0]), FACTOR[np.newaxis]), [exact])
    assert laplace_mass(5.0, FACTOR) == exact


def test_an_exact_gaussian_stays_as_it_is_without_a_further_evaluation():
    target = counted(gaussian, 3)
    rng = np.random.default_rng(0)
    factors, draws, short = fitting_gaussians(
        target, LOC, np.array([5.0]), FACTOR[np.newaxis], rng, 1e6
    )
    np.testing.assert_array_equal(factors, FACTOR[np.newaxis])
    np.testing.assert_allclose(draws.elbos, laplace_mass(5.0, FACTOR), rtol=1e-9)
    assert target.count == draws.log_p.size and abs(short[0]) < 1e-9


def test_at_a_bent_sheet_the_gaussian_is_narrowed_along_it_and_keeps_its_thickness():
    target = counted(sheet, 3)
    whole = np.diag([1.0, 1.0, THICKNESS])[np.newaxis]
    origin, top = np.zeros((1, 3)), np.zeros(1)
    rng = np.random.default_rng(1)
    factors, draws, short = fitting_gaussians(target, origin, top, whole, rng, 1e6)
    width = np.sqrt(np.sum(factors[0] ** 2, axis=1))
    assert 0.01 < width[0] < 0.2 and 0.01 < width[1] < 0.2
    assert 0.5 * THICKNESS < width[2] <= THICKNESS
    # The mass is exactly that of the flat sheet; the bound was 1e5 nats short and comes near.
    exact = laplace_mass(0.0, whole[0])
    assert exact - 7.0 < draws.elbos[0] < exact
    np.testing.assert_allclose(short, exact - draws.elbos)
    # The draws returned are those of the Gaussian returned.
    z = np.linalg.solve(factors[0], draws.x[0].T)
    log_det = np.log(np.diagonal(factors[0])).sum()
    log_c = -0.5 * np.sum(z**2, axis=0) - 1.5 * np.log(2 * np.pi) - log_det
    np.testing.assert_allclose(draws.log_c[0], log_c)


def test_few_evaluations_leave_what_was_reached_and_none_are_exceeded():
    target = counted(sheet, 3)
    whole = np.diag([1.0, 1.0, THICKNESS])[np.newaxis]
    fitting_gaussians(target, np.zeros((1, 3)), np.zeros(1), whole, np.random.default_rng(1), 50)
    assert target.count <= 24 + 50


def test_no_modes_are_no_evaluations():
    target = counted(sheet, 3)
    nothing = np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3, 3))
    factors, draws, short = fitting_gaussians(target, *nothing, np.random.default_rng(0), 100)
    assert target.count == 0 and len(factors) == len(draws.elbos) == len(short) == 0


def test_heights_that_rounding_makes_are_not_narrowed_to():
    def rounded(x):
        square = tf.reduce_sum(x**2, axis=1)
        return tf.where(square > 1e-8, -1e20 * square, 1e28 * tf.ones_like(square))

    target = counted(rounded, 3)
    whole, rng = np.eye(3)[np.newaxis], np.random.default_rng(0)
    factors, draws, short = fitting_gaussians(
        target, np.zeros((1, 3)), np.zeros(1), whole, rng, 1e6
    )
    assert draws.elbos[0] <= laplace_mass(0.0, whole[0]) + 3.0
    assert np.isfinite(short).all() and np.isfinite(factors).all()
