"""The log evidence of a fit with its defaults, on targets whose evidence is known.

Within three standard errors: a false alarm in 0.3 % of seeds (the seed is fixed). The floor of the
error, 1e-4, is rounding in float32.
"""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext

tfd = tfp.distributions


def gaussian():
    """N(m, C) in four dimensions without its normalizer."""
    rng = np.random.default_rng(3)
    factor = np.tril(rng.standard_normal((4, 4))) + 2 * np.eye(4)
    mean = rng.standard_normal(4)
    precision = tf.constant(np.linalg.inv(factor @ factor.T), tf.float32)

    def log_density(x):
        offset = x - tf.constant(mean, x.dtype)
        return -0.5 * tf.reduce_sum(tf.linalg.matvec(precision, offset) * offset, -1)

    log_z = 2 * np.log(2 * np.pi) + np.sum(np.log(np.abs(np.diag(factor))))
    return log_density, {"num_dimensions": 4}, log_z


def conjugate_regression():
    """y = A w + noise, w ~ N(0, 4 I), noise ~ N(0, 0.25 I): y ~ N(0, 4 A A' + 0.25 I)."""
    rng = np.random.default_rng(4)
    features = rng.standard_normal((30, 3))
    y = features @ [1.0, -2.0, 0.5] + 0.5 * rng.standard_normal(30)

    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        w = yield tfd.Sample(tfd.Normal(0.0, 2.0), 3, name="w")
        mean = tf.linalg.matvec(tf.constant(features, tf.float32), w)
        yield tfd.Independent(tfd.Normal(mean, 0.5), 1, name="y")

    covariance = 4 * features @ features.T + 0.25 * np.eye(30)
    marginal = tfd.MultivariateNormalTriL(np.zeros(30), np.linalg.cholesky(covariance))
    return model.experimental_pin(y=y.astype(np.float32)), {}, float(marginal.log_prob(y))


def funnel():
    """v ~ N(0, 1), three others N(0, exp(v))."""

    def log_density(x):
        v, rest = x[:, 0], x[:, 1:]
        width = tf.exp(v / 2)[:, None]
        return tfd.Normal(0.0, 1.0).log_prob(v) + tf.reduce_sum(
            tfd.Normal(0.0, width).log_prob(rest), -1
        )

    return log_density, {"num_dimensions": 4}, 0.0


def mixture():
    """Three bivariate normals that overlap little, weights 0.5, 0.3, 0.2."""
    target = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.5, 0.3, 0.2]),
        tfd.MultivariateNormalTriL(
            loc=[[-4.0, 0.0], [4.0, 1.0], [0.0, 6.0]],
            scale_tril=[[[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [-0.8, 0.6]], [[0.5, 0], [0, 2.0]]],
        ),
    )
    return target.log_prob, {"num_dimensions": 2}, 0.0


def truncated():
    """Constrained parts: an exponential of rate 2, a Dirichlet and a normal, times exp(3)."""

    def log_density(p):
        simplex = tfd.Dirichlet([2.0, 3.0, 4.0]).log_prob(p["w"])
        return 3.0 + tfd.Exponential(2.0).log_prob(p["rate"]) + simplex

    shapes = {"rate": (), "w": (3,)}
    return log_density, {"shapes": shapes, "constraints": {"rate": "positive", "w": "simplex"}}, 3.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [gaussian, conjugate_regression, funnel, mixture, truncated], ids=lambda f: f.__name__
)
def test_log_evidence_is_within_three_standard_errors(case):
    target, settings, log_z = case()
    posterior = gmmvi_ext.fit(target, **settings, seed=1, verbose=False)
    report = posterior.report()
    error = report.log_evidence - log_z
    assert abs(error) <= max(3 * report.log_evidence_se, 1e-4), error
    assert report.log_evidence_se < 0.05
    assert report.trust
