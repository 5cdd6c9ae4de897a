"""The model: exact cases (linear Gaussian, enumeration), identities of the report, shapes."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.amortized import NVIL, build_vae
from gmmvi_ext.amortized.control_variates import Chain
from gmmvi_ext.amortized.densities import (
    Bernoulli,
    Flow,
    Gaussian,
    GaussianMixture,
    OneHotCategorical,
)
from gmmvi_ext.amortized.estimators import ScoreFunction, StickingTheLanding
from gmmvi_ext.amortized.networks import FeedForwardDecoder, FeedForwardEncoder
from gmmvi_ext.amortized.priors import BernoulliPrior, MixturePrior, OneHotPrior

tfd = tfp.distributions
SEED = tf.constant([3, 4])
NOISE = 0.5
# Orthogonal columns: the exact posterior has a diagonal covariance.
LOADINGS = np.array([[1.0, 0.5], [0.5, -1.0], [1.0, 0.0]])


def _raw_scale(scale, floor=1e-4):
    return np.log(np.expm1(scale - floor))


@pytest.fixture
def linear_gaussian():
    """x = W z + noise as a VAE of linear networks; returns it with W, noise and the posterior."""
    vae = build_vae(
        (3,),
        2,
        likelihood=Gaussian(),
        encoder=FeedForwardEncoder(hidden=()),
        decoder=FeedForwardDecoder(hidden=()),
        estimator=StickingTheLanding(),
        dtype=tf.float64,
    )
    kernel, bias = vae.likelihood.decoder.trainable_variables
    weights = np.zeros((2, 3, 2))
    weights[..., 0] = LOADINGS.T
    kernel.assign(weights.reshape(2, 6))
    bias.assign(np.stack([np.zeros(3), np.full(3, _raw_scale(NOISE))], axis=-1).ravel())
    gram = LOADINGS.T @ LOADINGS
    covariance = np.linalg.inv(np.eye(2) + gram / NOISE**2)
    gain = covariance @ LOADINGS.T / NOISE**2
    return vae, covariance, gain


def _log_marginal(x):
    covariance = LOADINGS @ LOADINGS.T + NOISE**2 * np.eye(3)
    tril = np.linalg.cholesky(covariance)
    return tfd.MultivariateNormalTriL(np.zeros(3), tril).log_prob(x).numpy()


def test_linear_gaussian_model_gives_log_p_exactly_at_the_exact_posterior(linear_gaussian):
    vae, covariance, gain = linear_gaussian
    kernel, bias = vae.inference.head.trainable_variables
    weights = np.zeros((3, 2, 2))
    weights[..., 0] = gain.T
    kernel.assign(weights.reshape(3, 4))
    scale = np.sqrt(np.diag(covariance))
    bias.assign(np.stack([np.zeros(2), _raw_scale(scale)], axis=-1).ravel())
    x = np.random.default_rng(0).normal(size=(5, 3))
    exact = _log_marginal(x)
    np.testing.assert_allclose(vae.log_prob_estimate(x, 1, SEED), exact, rtol=1e-10)
    terms = vae.terms(tf.constant(x))
    rewards = terms.reward(terms.posterior.sample(7, seed=SEED))
    np.testing.assert_allclose(rewards, np.tile(exact, (7, 1)), rtol=1e-10)


def test_training_finds_the_exact_posterior_of_the_linear_gaussian_model(linear_gaussian):
    vae, covariance, gain = linear_gaussian
    variables = vae.inference.trainable_variables
    rate = tf.Variable(0.02, dtype=tf.float64)

    @tf.function(autograph=False)
    def step(number):
        seeds = tf.unstack(tf.random.split(tf.stack([number, 9]), 2))
        _, x = vae.sample(128, seeds[0])
        with tf.GradientTape() as tape:
            loss = vae.loss(x, seeds[1]).loss
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(rate * gradient)

    for number in range(1500):
        rate.assign(0.02 if number < 1000 else 0.005)
        step(tf.constant(number))
    x = np.random.default_rng(1).normal(size=(6, 3))
    posterior = vae.posterior(x)
    np.testing.assert_allclose(posterior.mean(), x @ gain.T, atol=0.03)
    expected = np.tile(np.sqrt(np.diag(covariance)), (6, 1))
    np.testing.assert_allclose(posterior.stddev(), expected, rtol=0.05)
    gap = _log_marginal(x) - vae.elbo(x, 2000, SEED)
    assert np.all(np.abs(gap) < 0.1)


@pytest.mark.parametrize(
    ("prior", "posterior"),
    [(OneHotPrior(), OneHotCategorical()), (BernoulliPrior(), Bernoulli())],
    ids=["one-hot", "bits"],
)
def test_enumeration_of_a_discrete_latent(prior, posterior):
    vae = build_vae(
        (4,), 3, prior=prior, posterior=posterior, estimator=ScoreFunction(), dtype=tf.float64
    )
    if isinstance(prior, OneHotPrior):
        values = np.eye(3)
    else:
        values = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    x = (np.random.default_rng(0).uniform(size=(2, 4)) < 0.5).astype(float)
    joint = np.stack([vae.joint.log_prob(x, np.tile(z, (2, 1))) for z in values])
    marginal = np.logaddexp.reduce(joint, axis=0)
    np.testing.assert_allclose(vae.joint.log_marginal(x), marginal, rtol=1e-10)
    table = vae.joint.posterior_log_probs(x)
    assert table.shape == (2, len(values))
    np.testing.assert_allclose(np.exp(table).sum(axis=-1), 1.0)
    found = np.sort(np.exp(table), axis=-1)
    np.testing.assert_allclose(found, np.sort(np.exp(joint - marginal).T, axis=-1), rtol=1e-9)
    # ELBO by enumeration over q equals log p(x) - KL(q || exact posterior), datum by datum.
    q = vae.posterior(x)
    log_q = np.stack([q.log_prob(np.tile(z, (2, 1))) for z in values])
    elbo = np.sum(np.exp(log_q) * (joint - log_q), axis=0)
    kl = np.sum(np.exp(log_q) * (log_q - (joint - marginal)), axis=0)
    np.testing.assert_allclose(elbo, marginal - kl, rtol=1e-9)
    sampled = vae.elbo(x, 20000, SEED)
    np.testing.assert_allclose(sampled, elbo, atol=0.05)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_posterior_and_marginal_keep_two_batch_axes(rank):
    vae = build_vae(
        (4,), 3, prior=OneHotPrior(), posterior=OneHotCategorical(), estimator=ScoreFunction()
    )
    batch = (5, 2)[:rank]
    x = np.zeros((*batch, 4), np.float32)
    assert vae.joint.log_marginal(x).shape == batch
    assert vae.joint.posterior_log_probs(x).shape == (*batch, 3)
    assert vae.joint.naive_bound(x, 7, SEED).shape == batch


def test_the_naive_bound_lies_below_the_marginal():
    vae = build_vae(
        (4,), 3, prior=OneHotPrior(), posterior=OneHotCategorical(), estimator=ScoreFunction()
    )
    x = np.ones((2, 4), np.float32)
    assert np.all(vae.joint.naive_bound(x, 5000, SEED) < vae.joint.log_marginal(x) + 1e-3)


def test_a_continuous_latent_cannot_be_enumerated():
    with pytest.raises(ValueError, match="cannot be enumerated"):
        build_vae((4,), 3).joint.log_marginal(np.zeros((2, 4), np.float32))


MODELS = {
    "gaussian": {},
    "mixture": {"posterior": GaussianMixture(3), "estimator": ScoreFunction()},
    "flow": {"posterior": Flow(2, 8, 4)},
    "mixture prior": {"prior": MixturePrior(5)},
}


@pytest.mark.parametrize("name", MODELS)
def test_report_identities_and_shapes(name):
    vae = build_vae((2, 3, 1), 4, seed=2, **MODELS[name])
    for batch in ((), (5,), (2, 5)):
        x = (np.random.default_rng(0).uniform(size=(*batch, 2, 3, 1)) < 0.5).astype(np.float32)
        report = vae.report(x, 6, SEED)
        assert all(part.shape == batch for part in report)
        np.testing.assert_allclose(report.elbo, -report.distortion - report.rate, rtol=1e-5)
        z, mean = vae.cond_sample(x, SEED)
        assert z.shape == (*batch, 4) and mean.shape == (*batch, 2, 3, 1)
        loss = vae.loss(x, SEED)
        assert all(np.ndim(value) == 0 for value in loss)


def test_the_bound_rises_with_the_samples():
    vae = build_vae((6,), 2, seed=3)
    x = (np.random.default_rng(0).uniform(size=(400, 6)) < 0.3).astype(np.float32)
    bounds = [
        float(tf.reduce_mean(vae.log_prob_estimate(x, count, SEED))) for count in (1, 5, 50, 500)
    ]
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[-1]


def test_oversampling_draws_each_latent_once():
    vae = build_vae((6,), 2)
    z, x = vae.sample(4, SEED, sample_size=3, oversample=True)
    assert z.shape == (3, 4, 2) and x.shape == (3, 4, 6)
    np.testing.assert_array_equal(z[0], z[2])
    z, x = vae.sample(4, SEED, sample_size=3)
    assert x.shape == (3, 4, 6) and not np.allclose(z[0], z[2])
    z, x = vae.sample(4, SEED)
    assert z.shape == (4, 2) and x.shape == (4, 6)
    data = np.zeros((4, 6), np.float32)
    z, _ = vae.cond_sample(data, SEED, sample_size=3, oversample=True)
    np.testing.assert_array_equal(z[0], z[2])
    z, _ = vae.cond_sample(data, SEED, sample_size=3)
    assert z.shape == (3, 4, 2) and not np.allclose(z[0], z[2])


def test_nvil_defaults_and_its_own_reward():
    parts = build_vae((6,), 2, seed=1)
    nvil = NVIL(parts.prior, parts.likelihood, parts.inference)
    assert isinstance(nvil.estimator, ScoreFunction)
    names = [member.name for member in nvil.control_variate.members]
    assert names == ["centered", "baseline", "scaled"]
    assert len(nvil.trainable_groups()["control"]) == 4
    plain = NVIL(parts.prior, parts.likelihood, parts.inference, control_variate=Chain())
    assert plain.trainable_groups()["control"] == []
    loss = nvil.loss(np.ones((3, 6), np.float32), SEED)
    assert float(loss.control_loss) > 0


def test_scales_stay_above_their_floor():
    prior = MixturePrior(3, min_scale=0.1).build(2)
    prior.trainable_variables[-1].assign(-100.0 * tf.ones([3, 2]))
    scale = prior.distribution().components_distribution.stddev()
    np.testing.assert_allclose(scale, 0.1, rtol=1e-5)
    density = Gaussian(min_scale=0.2).build((2,))
    np.testing.assert_allclose(density(-200.0 * tf.ones([2, 2])).stddev(), 0.2, rtol=1e-5)
