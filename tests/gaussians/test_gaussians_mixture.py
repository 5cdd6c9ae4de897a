"""Mixtures against TFP and against plain NumPy, for both families."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import gaussians as g

tfd = tfp.distributions


def make_mixture(family, num_components=4, dim=3, seed=0, dtype=tf.float64):
    rng = np.random.default_rng(seed)
    loc = tf.constant(3 * rng.normal(size=(num_components, dim)), dtype)
    scale = 0.4 + rng.random((num_components, dim))
    log_weights = tf.math.log(tf.constant(rng.dirichlet(np.ones(num_components)), dtype))
    if family == "diagonal":
        return g.Mixture(log_weights, g.DiagonalGaussians(loc, tf.constant(scale, dtype)))
    tril = np.tril(0.3 * rng.normal(size=(num_components, dim, dim)), -1)
    tril[:, range(dim), range(dim)] = scale
    return g.Mixture(log_weights, g.FullGaussians(loc, tf.constant(tril, dtype)))


def tfp_twin(mixture):
    components = mixture.components
    if isinstance(components, g.DiagonalGaussians):
        parts = tfd.MultivariateNormalDiag(components.loc, components.scale_diag)
    else:
        parts = tfd.MultivariateNormalTriL(components.loc, components.scale_tril)
    return tfd.MixtureSameFamily(tfd.Categorical(logits=mixture.log_weights), parts)


@pytest.fixture(params=["full", "diagonal"])
def mixture(request):
    return make_mixture(request.param)


@pytest.fixture
def points():
    return tf.constant(4 * np.random.default_rng(1).normal(size=(60, 3)))


def test_log_prob_and_score_equal_tfp(mixture, points):
    twin = tfp_twin(mixture)
    with tf.GradientTape() as tape:
        tape.watch(points)
        expected = twin.log_prob(points)
    np.testing.assert_allclose(g.log_prob(mixture, points), expected, rtol=1e-12)
    np.testing.assert_allclose(
        g.score(mixture, points), tape.gradient(expected, points), rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("dim", [1, 3, 20, 31, 50])
def test_log_densities_by_blocks_of_rows_equal_a_slow_twin(dim):
    rng = np.random.default_rng(dim)
    loc, points = rng.normal(size=(4, dim)), 4 * rng.normal(size=(60, dim))
    tril = np.tril(0.2 * rng.normal(size=(4, dim, dim)), -1) + np.eye(dim)
    components = g.FullGaussians(tf.constant(loc), tf.constant(tril))
    z = np.stack([np.linalg.solve(tril[k], (points - loc[k]).T) for k in range(4)])  # [K, D, N]
    expected = -0.5 * (z**2).sum(axis=1) - 0.5 * dim * np.log(2 * np.pi)  # |L_k| = 1
    rows = components.for_evaluation().log_prob_rows_fn()(tf.constant(points))
    np.testing.assert_allclose(rows, expected, rtol=1e-9)
    np.testing.assert_allclose(components.log_prob(tf.constant(points)), expected.T, rtol=1e-9)


def test_responsibilities_are_bayes_rule(mixture, points):
    joint = g.component_log_prob(mixture.components, points) + mixture.log_weights
    expected = np.exp(joint - g.log_prob(mixture, points)[:, None])
    np.testing.assert_allclose(g.responsibilities(mixture, points), expected, rtol=1e-10)


def test_entropy_covariance_and_kl_equal_tfp(mixture):
    twin = tfp_twin(mixture).components_distribution
    np.testing.assert_allclose(g.component_entropy(mixture.components), twin.entropy(), rtol=1e-12)
    np.testing.assert_allclose(
        g.component_covariances(mixture.components), twin.covariance(), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(mixture.components.stddevs(), twin.stddev(), rtol=1e-12)
    order = tf.constant([1, 2, 3, 0])
    other = type(mixture.components)(*(tf.gather(field, order) for field in mixture.components))
    other_twin = tfp_twin(mixture._replace(components=other)).components_distribution
    np.testing.assert_allclose(
        g.kl_divergence(mixture.components, other), tfd.kl_divergence(twin, other_twin), rtol=1e-10
    )


def test_moments_equal_tfp(mixture):
    twin = tfp_twin(mixture)
    np.testing.assert_allclose(g.mean(mixture), twin.mean(), rtol=1e-12)
    weights = np.exp(mixture.log_weights)
    loc, covs = mixture.components.loc.numpy(), mixture.components.covariances().numpy()
    second = sum(w * (c + np.outer(m, m)) for w, m, c in zip(weights, loc, covs, strict=True))
    expected = second - np.outer(twin.mean(), twin.mean())
    np.testing.assert_allclose(g.covariance(mixture), expected, rtol=1e-10, atol=1e-12)


def test_joint_density_factorizes_into_marginal_and_conditional(mixture, points):
    values = [0.3]
    conditional = g.condition(mixture, (1,), values)
    rest = tf.gather(points, [0, 2], axis=1)
    full = tf.stack([rest[:, 0], tf.fill([60], tf.constant(0.3, tf.float64)), rest[:, 1]], axis=1)
    evidence = g.log_prob(g.marginal(mixture, (1,)), tf.constant([values], tf.float64))
    np.testing.assert_allclose(
        g.log_prob(conditional, rest) + evidence, g.log_prob(mixture, full), rtol=1e-10
    )


def test_components_of_weight_zero_change_nothing(mixture, points):
    keep = tf.math.log(tf.constant([0.0, 0.3, 0.7, 0.0], tf.float64))
    masked = mixture._replace(log_weights=keep)
    index = tf.constant([1, 2])
    small = g.Mixture(
        tf.gather(keep, index),
        type(mixture.components)(*(tf.gather(f, index) for f in mixture.components)),
    )
    np.testing.assert_allclose(g.log_prob(masked, points), g.log_prob(small, points), rtol=1e-12)
    np.testing.assert_allclose(g.score(masked, points), g.score(small, points), rtol=1e-10)
    drawn = g.sample(masked, 500, tf.constant([1, 2]))[1]
    assert set(np.unique(drawn)) == {1, 2}


def test_float32_far_from_the_origin_keeps_its_digits():
    near = make_mixture("full", dtype=tf.float64)
    shift = 1000.0
    far = g.Mixture(
        tf.cast(near.log_weights, tf.float32),
        g.FullGaussians(
            tf.cast(near.components.loc + shift, tf.float32),
            tf.cast(near.components.scale_tril, tf.float32),
        ),
    )
    # Points on the float32 grid, so that only the computation can lose digits.
    x32 = tf.cast(g.sample(near, 200, tf.constant([3, 4]))[0] + shift, tf.float32)
    x64, loc64 = tf.cast(x32, tf.float64), tf.cast(far.components.loc, tf.float64)
    exact = g.Mixture(near.log_weights, g.FullGaussians(loc64, near.components.scale_tril))
    np.testing.assert_allclose(g.log_prob(far, x32), g.log_prob(exact, x64), atol=5e-3)


def test_sample_components_counts_order_and_moments(mixture):
    counts = tf.constant([0, 5, 20_000, 1])
    x, index = g.sample_components(mixture.components, counts, tf.constant([5, 6]))
    np.testing.assert_array_equal(np.bincount(index, minlength=4), counts)
    assert np.all(np.diff(index) >= 0)
    own = tf.boolean_mask(x, index == 2).numpy()
    scale = np.sqrt(np.diag(mixture.components.covariances()[2]))
    # Three coordinates, means of 20 000 draws: |z| > 5.5 happens with probability 1e-7.
    z = (own.mean(0) - mixture.components.loc[2]) / scale * np.sqrt(len(own))
    assert np.max(np.abs(z)) < 5.5


def test_sample_is_reproducible_and_seed_dependent(mixture):
    first = g.sample(mixture, 50, tf.constant([1, 2]))[0]
    np.testing.assert_array_equal(first, g.sample(mixture, 50, tf.constant([1, 2]))[0])
    assert not np.allclose(first, g.sample(mixture, 50, tf.constant([1, 3]))[0])


def test_sample_frequencies_match_the_weights(mixture):
    num = 50_000
    drawn = np.bincount(g.sample(mixture, num, tf.constant([7, 8]))[1], minlength=4)
    weights = np.exp(mixture.log_weights)
    z = (drawn - num * weights) / np.sqrt(num * weights * (1 - weights))
    assert np.max(np.abs(z)) < 5.5  # four binomials: false alarm 2e-7
