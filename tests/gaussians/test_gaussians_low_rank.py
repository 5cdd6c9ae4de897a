"""Low-rank plus diagonal Gaussians against their dense covariances; the projection."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import gaussians as g


def low_rank(num=3, dim=6, rank=2, seed=0, dtype=tf.float64):
    rng = np.random.default_rng(seed)
    return g.LowRankGaussians(
        tf.constant(rng.normal(size=(num, dim)), dtype),
        tf.constant(0.3 + rng.random((num, dim)), dtype),
        tf.constant(rng.normal(size=(num, dim, rank)), dtype),
    )


POINTS = tf.constant(np.random.default_rng(1).normal(size=(7, 6)))


@pytest.mark.parametrize("rank", [1, 2, 6])
def test_densities_scores_and_entropies_equal_those_of_the_dense_covariance(rank):
    components = low_rank(rank=rank)
    full = components.to_full()
    log_weights = tf.math.log(tf.constant([0.5, 0.3, 0.2], tf.float64))
    mine, dense = g.Mixture(log_weights, components), g.Mixture(log_weights, full)
    np.testing.assert_allclose(components.log_prob(POINTS), full.log_prob(POINTS), rtol=1e-10)
    np.testing.assert_allclose(g.score(mine, POINTS), g.score(dense, POINTS), rtol=1e-9)
    np.testing.assert_allclose(components.entropy(), full.entropy(), rtol=1e-12)
    np.testing.assert_allclose(components.stddevs(), full.stddevs(), rtol=1e-12)
    np.testing.assert_allclose(g.covariance(mine), g.covariance(dense), rtol=1e-10)
    np.testing.assert_allclose(
        components.kl_divergence(low_rank(seed=5)), full.kl_divergence(low_rank(seed=5).to_full())
    )


def test_a_zero_factor_is_a_diagonal_covariance():
    components = low_rank()
    components = components._replace(cov_perturb_factor=tf.zeros([3, 6, 2], tf.float64))
    diagonal = g.DiagonalGaussians(components.loc, tf.sqrt(components.cov_diag_factor))
    np.testing.assert_allclose(components.log_prob(POINTS), diagonal.log_prob(POINTS), rtol=1e-12)


def test_whitened_draws_have_unit_covariance():
    components = low_rank(num=1)
    draws = components.sample_each(40_000, tf.constant([1, 2]))[0]
    z = components.whiten(draws)[:, 0].numpy()
    # Entries deviate by 5e-3; six standard deviations on 21 + 6 entries: below 1e-7.
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(6), atol=0.045)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.03)


def test_marginals_and_conditionals_are_those_of_the_dense_covariance():
    mixture = g.Mixture(tf.math.log(tf.constant([0.5, 0.3, 0.2], tf.float64)), low_rank())
    dense = mixture._replace(components=mixture.components.to_full())
    part = POINTS[:, 1:4]
    np.testing.assert_allclose(
        g.log_prob(g.marginal(mixture, [1, 2, 3]), part),
        g.log_prob(g.marginal(dense, [1, 2, 3]), part),
        rtol=1e-10,
    )
    np.testing.assert_allclose(
        g.log_prob(g.condition(mixture, [0], [0.3]), POINTS[:, 1:]),
        g.log_prob(g.condition(dense, [0], [0.3]), POINTS[:, 1:]),
        rtol=1e-10,
    )


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_the_projection_keeps_members_of_the_family(rank):
    components = low_rank(rank=rank)
    back = g.nearest_low_rank(
        components.loc, components.covariances(), components.cov_diag_factor, rank
    )
    np.testing.assert_allclose(back.covariances(), components.covariances(), rtol=1e-9, atol=1e-10)


def test_the_projection_keeps_variances_and_with_full_rank_everything():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 6, 6))
    covariance = tf.constant(root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(6))
    loc, diag = tf.zeros([4, 6], tf.float64), tf.ones([4, 6], tf.float64)
    for rank in (1, 3, 6):
        projected = g.nearest_low_rank(loc, covariance, diag, rank)
        assert np.all(projected.cov_diag_factor > 0)
        np.testing.assert_allclose(
            tf.linalg.diag_part(projected.covariances()), tf.linalg.diag_part(covariance), rtol=1e-9
        )
    np.testing.assert_allclose(projected.covariances(), covariance, rtol=1e-9, atol=1e-10)
