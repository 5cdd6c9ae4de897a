"""Natural steps: one step solves conjugate models, retractions stay in the domain."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import natural


def _conjugate_mean_problem(rng):
    x, tau = rng.normal(2.0, 1.0, 20), rng.gamma(2.0, 1.0, 20)
    prior_mean, prior_precision = 0.5, 0.3
    precision = prior_precision + tau.sum()
    mean = (prior_precision * prior_mean + (tau * x).sum()) / precision

    def loss(mu, s):
        data = 0.5 * tf.reduce_sum(tau * ((x - mu) ** 2 + s**2))
        prior = 0.5 * prior_precision * ((mu - prior_mean) ** 2 + s**2)
        return data + prior - tf.math.log(s)

    return loss, mean, 1 / precision


def _grads(loss, convert, theta):
    with tf.GradientTape() as tape:
        tape.watch(theta)
        value = loss(*convert(*theta))
    return tape.gradient(value, theta)


def test_one_step_of_size_one_reaches_a_conjugate_posterior():
    loss, mean, variance = _conjugate_mean_problem(np.random.default_rng(0))
    theta = natural.mean_std_to_natural(np.float64(-3), np.float64(4))
    grads = _grads(loss, natural.natural_to_mean_std, theta)
    mu, s = natural.natural_to_mean_std(*natural.natural_step(theta, grads, 1.0))
    np.testing.assert_allclose(mu, mean, rtol=1e-14)
    np.testing.assert_allclose(s**2, variance, rtol=1e-14)


def test_one_step_solves_bayesian_linear_regression():
    rng = np.random.default_rng(1)
    design, noise = rng.normal(size=(30, 4)), 0.5
    target = design @ rng.normal(size=4) + noise * rng.normal(size=30)
    precision = np.eye(4) + design.T @ design / noise**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ design.T @ target / noise**2

    def loss(mu, L):
        fit = tf.reduce_sum((target - tf.linalg.matvec(design, mu)) ** 2)
        spread = tf.reduce_sum(tf.matmul(design, L) ** 2)
        prior = tf.reduce_sum(mu**2) + tf.reduce_sum(L**2)
        return (
            0.5 * (fit + spread) / noise**2
            + 0.5 * prior
            - tf.reduce_sum(tf.math.log(tf.linalg.diag_part(L)))
        )

    theta = natural.mean_chol_to_natural(tf.constant(rng.normal(size=4)), 3 * np.eye(4))
    grads = _grads(loss, natural.natural_to_mean_chol, theta)
    mu, L = natural.natural_to_mean_chol(*natural.natural_step(theta, grads, 1.0, domain="full"))
    np.testing.assert_allclose(mu, mean, rtol=1e-11)
    np.testing.assert_allclose(L @ tf.transpose(L), covariance, rtol=1e-10, atol=1e-14)


def test_half_steps_walk_the_segment():
    loss, mean, variance = _conjugate_mean_problem(np.random.default_rng(2))
    start = natural.mean_std_to_natural(np.float64(-3), np.float64(4))
    goal = natural.mean_std_to_natural(np.float64(mean), np.sqrt(variance))
    theta = start
    for weight in (0.5, 0.25):
        theta = natural.natural_step(theta, _grads(loss, natural.natural_to_mean_std, theta), 0.5)
        for got, a, b in zip(theta, start, goal, strict=True):
            np.testing.assert_allclose(got, weight * a + (1 - weight) * b, rtol=1e-12)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("retraction", ["backoff", "ibayes"])
def test_any_gradient_leaves_the_precision_positive(retraction, dtype):
    rng = np.random.default_rng(3)
    count = 10_000
    theta = (
        tf.constant(rng.normal(size=count), dtype),
        tf.constant(-np.exp(rng.normal(0, 3, count)), dtype),
    )
    grads = tuple(tf.constant(rng.normal(0, 50, count), dtype) for _ in range(2))
    new = natural.natural_step(theta, grads, 3.0, retraction=retraction)
    assert np.all(new[1] < 0) and np.isfinite(new[0]).all()


def test_ibayes_value_and_full_covariance():
    (_, second) = natural.natural_step(
        (tf.zeros([1]), -tf.ones([1])),
        (tf.zeros([1]), tf.constant([-2.5])),
        1.0,
        retraction="ibayes",
    )
    np.testing.assert_allclose(-2 * second, [3.25])
    rng = np.random.default_rng(4)
    G = rng.normal(0, 40, size=(50, 3, 3))
    theta = (
        tf.constant(rng.normal(size=(50, 3))),
        -0.5 * tf.eye(3, batch_shape=[50], dtype=tf.float64),
    )
    for retraction in ("ibayes", "backoff"):
        _, new = natural.natural_step(
            theta, (theta[0], tf.constant(G)), 2.0, retraction=retraction, domain="full"
        )
        assert np.linalg.eigvalsh(-new).min() > 0


def test_raw_steps_out_of_the_domain_raise():
    with pytest.raises(tf.errors.InvalidArgumentError, match="left the domain"):
        natural.natural_step(
            (tf.zeros([1]), -tf.ones([1])),
            (tf.zeros([1]), -3 * tf.ones([1])),
            1.0,
            retraction="none",
        )


def test_variance_floor_keeps_the_mean():
    theta = natural.mean_std_to_natural(tf.constant(2.0), tf.constant(0.01))
    zero = (tf.constant(0.0), tf.constant(0.0))
    mu, s = natural.natural_to_mean_std(*natural.natural_step(theta, zero, 1.0, min_var=0.25))
    np.testing.assert_allclose([mu, s], [2.0, 0.5], rtol=1e-5)


def test_optimizer_steps_pairs_and_leaves_the_rest_to_adam():
    import keras

    loss, mean, variance = _conjugate_mean_problem(np.random.default_rng(5))
    theta = natural.mean_std_to_natural(np.float64(-3), np.float64(4))
    pair = tuple(tf.Variable(each) for each in theta)
    other = tf.Variable(np.float64(3))
    optimizer = natural.NaturalGradient([pair], stepsize=1.0)
    adam = keras.optimizers.Adam(0.1)
    adam.build([other])

    @tf.function
    def step():
        return optimizer.minimize(
            lambda: loss(*natural.natural_to_mean_std(*pair)) + other**2, [other], adam
        )

    first, second = step(), step()
    mu, s = natural.natural_to_mean_std(*pair)
    np.testing.assert_allclose([mu, s**2], [mean, variance], rtol=1e-12)
    np.testing.assert_allclose(other, 2.8, atol=1e-3)
    assert second < first


def test_optimizer_refuses_what_it_cannot_step():
    pair = (tf.Variable(0.0), tf.Variable(-1.0))
    with pytest.raises(ValueError, match="`stepsize` must be positive"):
        natural.NaturalGradient([pair], 0.0)
    with pytest.raises(ValueError, match="must hold 1 variable"):
        natural.NaturalGradient([pair], domain="categorical")
    with pytest.raises(ValueError, match="no gradient reached"):
        natural.NaturalGradient([pair]).minimize(lambda: tf.constant(1.0))
