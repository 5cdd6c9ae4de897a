"""Component updates against their definitions in natural parameters (dense NumPy)."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians
from gmmvi_ext.inference.component_updaters import (
    DirectNgBasedComponentUpdater,
    KLConstrainedNgBasedComponentUpdater,
    NgBasedComponentUpdaterIblr,
)
from gmmvi_ext.inference.component_updaters.base import Spectrum
from gmmvi_ext.inference.component_updaters.trust_region import trust_region_kl
from gmmvi_ext.inference.types import NgEstimate

K, D = 3, 4


@pytest.fixture
def problem():
    """Components and natural gradients G, g with G of mixed signs."""
    rng = np.random.default_rng(3)
    tril = np.tril(0.3 * rng.normal(size=(K, D, D)), -1)
    tril[:, range(D), range(D)] = 0.5 + rng.random((K, D))
    loc = rng.normal(size=(K, D))
    G = rng.normal(size=(K, D, D))
    G = 0.4 * (G + G.transpose(0, 2, 1))
    g = rng.normal(size=(K, D))
    return loc, tril, G, g


def estimate_of(tril, G, g):
    curvature = np.einsum("kji,kjl,klm->kim", tril, G, tril)
    slope = np.einsum("kji,kj->ki", tril, g)
    return NgEstimate(tf.constant(curvature), tf.constant(slope), tf.fill([len(g)], True))


def run(updater, problem, stepsize, temperature=1.0):
    loc, tril, G, g = problem
    components = FullGaussians(tf.constant(loc), tf.constant(tril))
    return updater.update(
        components,
        estimate_of(tril, G, g),
        tf.fill([K], tf.constant(stepsize, tf.float64)),
        tf.constant(temperature, tf.float64),
        tf.zeros([K], tf.int64),
    )


def dense_kl(new_loc, new_cov, loc, cov):
    solve = np.linalg.solve(cov, new_cov)
    delta = loc - new_loc
    return 0.5 * (
        np.trace(solve)
        - len(loc)
        + delta @ np.linalg.solve(cov, delta)
        - np.linalg.slogdet(solve)[1]
    )


def dense_step(problem, k, eta):
    """Lambda' = Lambda + G / eta, nu' = nu + (G mu - g) / eta."""
    loc, tril, G, g = problem
    precision = np.linalg.inv(tril[k] @ tril[k].T)
    new_precision = precision + G[k] / eta
    nu = precision @ loc[k] + (G[k] @ loc[k] - g[k]) / eta
    return np.linalg.solve(new_precision, nu), np.linalg.inv(new_precision)


def test_direct_step_equals_the_step_in_natural_parameters(problem):
    update = run(DirectNgBasedComponentUpdater(), problem, 0.2, temperature=2.0)
    assert update.ok.numpy().all()
    for k in range(K):
        loc, cov = dense_step(problem, k, eta=2.0 / 0.2)
        np.testing.assert_allclose(update.components.loc[k], loc, rtol=1e-10)
        np.testing.assert_allclose(update.components.covariances()[k], cov, rtol=1e-10, atol=1e-13)


def test_direct_step_that_leaves_the_cone_is_refused_and_changes_nothing(problem):
    loc, tril, _G, g = problem
    update = run(
        DirectNgBasedComponentUpdater(), (loc, tril, -100 * np.stack([np.eye(D)] * K), g), 1.0
    )
    assert not update.ok.numpy().any()
    np.testing.assert_array_equal(update.components.loc, loc)
    np.testing.assert_array_equal(update.components.scale_tril, tril)
    np.testing.assert_array_equal(update.kl, np.zeros(K))


def test_iblr_equals_its_definition_and_never_leaves_the_cone(problem):
    loc, tril, G, g = problem
    step = 0.7
    for scale in (1.0, -1000.0):
        update = run(NgBasedComponentUpdaterIblr(), (loc, tril, scale * G, g), step)
        assert update.ok.numpy().all()
        for k in range(K):
            cov = tril[k] @ tril[k].T
            Gk = scale * G[k]
            precision = np.linalg.inv(cov) + step * (Gk + 0.5 * step * Gk @ cov @ Gk)
            np.testing.assert_allclose(
                np.linalg.inv(update.components.covariances()[k]), precision, rtol=1e-6, atol=1e-6
            )
            np.testing.assert_allclose(update.components.loc[k], loc[k] - step * cov @ g[k])


@pytest.mark.parametrize("eta", [3.0, 10.0, 1e4])
def test_eigenbasis_kl_equals_the_dense_kl(problem, eta):
    loc, tril, G, g = problem
    estimate = estimate_of(tril, G, g)
    eigenvalues, basis = tf.linalg.eigh(estimate.curvature)
    slope = tf.linalg.matvec(basis, estimate.slope, transpose_a=True)
    kl = trust_region_kl(eigenvalues, slope, tf.fill([K, 1], tf.constant(eta, tf.float64)))[:, 0]
    for k in range(K):
        new_loc, new_cov = dense_step(problem, k, eta)
        expected = dense_kl(new_loc, new_cov, loc[k], tril[k] @ tril[k].T)
        np.testing.assert_allclose(kl[k], expected, rtol=1e-8)


@pytest.mark.parametrize("bound", [1e-3, 0.05, 0.5])
def test_an_active_bound_is_met_to_a_thousandth_and_never_exceeded(problem, bound):
    loc, tril, *_ = problem
    update = run(KLConstrainedNgBasedComponentUpdater(), problem, bound)
    for k in range(K):
        kl = dense_kl(
            update.components.loc[k].numpy(),
            update.components.covariances()[k].numpy(),
            loc[k],
            tril[k] @ tril[k].T,
        )
        assert bound * (1 - 1e-3) <= kl <= bound * (1 + 1e-9)
        np.testing.assert_allclose(update.kl[k], kl, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_slack_bound_takes_the_full_step(problem, temperature):
    loc, tril, _, g = problem
    G = np.stack([np.eye(D)] * K)
    update = run(KLConstrainedNgBasedComponentUpdater(), (loc, tril, G, g), 1e6, temperature)
    for k in range(K):
        new_loc, new_cov = dense_step((loc, tril, G, g), k, eta=temperature)
        np.testing.assert_allclose(update.components.loc[k], new_loc, rtol=1e-9)
        np.testing.assert_allclose(
            update.components.covariances()[k], new_cov, rtol=1e-9, atol=1e-12
        )


def test_trust_region_survives_an_indefinite_curvature_of_any_size(problem):
    loc, tril, G, g = problem
    for scale in (1e-20, 1.0, 1e12):
        update = run(KLConstrainedNgBasedComponentUpdater(), (loc, tril, scale * G, scale * g), 0.1)
        assert update.ok.numpy().all()
        assert np.all(update.kl.numpy() <= 0.1 * (1 + 1e-6))


@pytest.mark.parametrize("num", [1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_the_compiled_search_finds_the_same_steps(num, dtype):
    # Numbers of components that are powers of two, and others that are padded to one.
    rng = np.random.default_rng(num)
    spectrum = Spectrum(
        tf.constant(rng.normal(size=(num, D)) * 10.0 ** rng.uniform(-3, 3, (num, 1)), dtype),
        tf.constant(rng.normal(size=(num, D)), dtype),
        None,
    )
    stepsize = tf.constant(10.0 ** rng.uniform(-3, 1, num), dtype)
    plain, compiled = (
        KLConstrainedNgBasedComponentUpdater(jit_compile=jit_compile).move(
            spectrum, stepsize, tf.constant(1.0, dtype), None
        )
        for jit_compile in (False, True)
    )
    # Grids decide by comparisons, which rounding may tip: one grid point is 1e-3 of a step's KL.
    tolerance = {tf.float32: 1e-3, tf.float64: 1e-9}[dtype]
    for left, right in zip(plain, compiled, strict=True):
        assert left.shape == right.shape
        np.testing.assert_allclose(left, right, rtol=tolerance)


def test_a_zero_bound_moves_nothing(problem):
    loc, tril, *_ = problem
    update = run(KLConstrainedNgBasedComponentUpdater(), problem, 0.0)
    np.testing.assert_allclose(update.components.loc, loc, atol=1e-6)
    np.testing.assert_allclose(update.components.scale_tril, tril, atol=1e-6)


def test_a_failed_estimate_isolates_its_component(problem):
    loc, tril, G, g = problem
    estimate = estimate_of(tril, G, g)._replace(ok=tf.constant([True, False, True]))
    components = FullGaussians(tf.constant(loc), tf.constant(tril))
    update = KLConstrainedNgBasedComponentUpdater().update(
        components,
        estimate,
        tf.fill([K], tf.constant(0.1, tf.float64)),
        tf.constant(1.0, tf.float64),
        tf.zeros([K], tf.int64),
    )
    np.testing.assert_array_equal(update.ok, [True, False, True])
    np.testing.assert_array_equal(update.components.loc[1], loc[1])
    assert not np.allclose(update.components.loc[0], loc[0])


@pytest.mark.parametrize(
    "updater",
    [
        DirectNgBasedComponentUpdater(),
        NgBasedComponentUpdaterIblr(),
        KLConstrainedNgBasedComponentUpdater(),
    ],
)
def test_diagonal_components_move_as_full_ones_with_diagonal_curvature(updater):
    rng = np.random.default_rng(5)
    loc, scale = rng.normal(size=(K, D)), 0.5 + rng.random((K, D))
    curvature, slope = rng.random((K, D)), rng.normal(size=(K, D))
    arguments = (
        tf.fill([K], tf.constant(0.3, tf.float64)),
        tf.constant(1.0, tf.float64),
        tf.zeros([K], tf.int64),
    )
    ok = tf.fill([K], True)
    diagonal = updater.update(
        DiagonalGaussians(tf.constant(loc), tf.constant(scale)),
        NgEstimate(tf.constant(curvature), tf.constant(slope), ok),
        *arguments,
    )
    full = updater.update(
        FullGaussians(tf.constant(loc), tf.linalg.diag(tf.constant(scale))),
        NgEstimate(tf.linalg.diag(tf.constant(curvature)), tf.constant(slope), ok),
        *arguments,
    )
    np.testing.assert_allclose(diagonal.components.loc, full.components.loc, rtol=1e-10)
    np.testing.assert_allclose(
        diagonal.components.covariances(), full.components.covariances(), rtol=1e-9, atol=1e-12
    )
