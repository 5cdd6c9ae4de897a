"""Semi-amortized inference: the start is the amortized posterior, the end has the true bound."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.amortized import build_vae, densities, estimators, priors, semi_amortized
from gmmvi_ext.amortized.semi_amortized import (
    SemiAmortizedInference,
    amortized_mixture,
    fit_semi_amortized,
)
from gmmvi_ext.gaussians import mixture as mixtures

SEED = tf.constant([2, 5])
X = (np.random.default_rng(0).uniform(size=(3, 12)) < 0.5).astype(np.float32)


@pytest.mark.parametrize(
    "settings",
    [{}, {"posterior": densities.GaussianMixture(3), "estimator": estimators.Stratified()}],
    ids=["gaussian", "mixture"],
)
def test_the_start_is_the_amortized_posterior(settings):
    vae = build_vae((12,), 2, seed=3, dtype=tf.float64, **settings)
    posterior = vae.posterior(X[0])
    z = tf.random.stateless_normal([6, 2], SEED, dtype=tf.float64)
    start = amortized_mixture(posterior, SEED)
    np.testing.assert_allclose(mixtures.log_prob(start, z), posterior.log_prob(z), rtol=1e-8)


def test_a_flow_starts_from_its_moments():
    vae = build_vae((12,), 2, posterior=densities.Flow(2, 8, 4), dtype=tf.float64)
    start = amortized_mixture(vae.posterior(X[0]), SEED)
    draws = vae.posterior(X[0]).sample(20000, seed=tf.constant([9, 9])).numpy()
    np.testing.assert_allclose(mixtures.mean(start), draws.mean(0), atol=0.15)
    np.testing.assert_allclose(mixtures.covariance(start), np.cov(draws.T), atol=0.25)


@pytest.mark.slow
def test_semi_amortized_inference_closes_the_gap_and_reports_the_true_bound():
    vae = build_vae((12,), 2, seed=3)
    # A strong decoder, so that the untrained encoder leaves a gap.
    for variable in vae.likelihood.decoder.trainable_variables:
        variable.assign(2.5 * variable)
    found = SemiAmortizedInference(vae, num_iterations=25, num_samples=4000)(X)
    # log p(x) by quadrature over the two latents.
    axis = np.linspace(-7, 7, 241)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2).astype(np.float32)
    log_joint = vae.joint.log_prob(X, np.broadcast_to(grid, (len(grid), 3, 2)))
    exact = np.logaddexp.reduce(log_joint.numpy().astype(float), axis=0)
    exact += 2 * np.log(axis[1] - axis[0])
    np.testing.assert_allclose(found.log_evidence, exact, atol=0.03)
    assert np.all(found.elbo_after < exact + 6 * found.elbo_se)  # false-failure rate 3e-9
    assert np.all(found.gap_before > 0.1)
    assert np.all(found.gap_after < 0.3 * found.gap_before)
    np.testing.assert_allclose(found.amortization_gap, found.gap_before - found.gap_after)
    assert "amortization gap" in str(found)
    report = found.posteriors[1].report(num_samples=4000)
    assert report.elbo == pytest.approx(found.elbo_after[1], abs=0.05)


@pytest.mark.slow
def test_data_do_not_influence_each_other():
    vae = build_vae((12,), 2, seed=3)
    settings = {"num_iterations": 4, "num_samples": 100}
    together = fit_semi_amortized(vae, X[:2], **settings)
    again = SemiAmortizedInference(vae, **settings)
    again(X[2:])
    alone = again(X[:1])
    np.testing.assert_array_equal(
        together.posteriors[0].mixture.components.loc, alone.posteriors[0].mixture.components.loc
    )


def test_refusals():
    vae = build_vae(
        (12,),
        2,
        prior=priors.BernoulliPrior(),
        posterior=densities.Bernoulli(),
        estimator=estimators.ScoreFunction(),
    )
    with pytest.raises(ValueError, match="needs a continuous latent vector"):
        SemiAmortizedInference(vae)
    with pytest.raises(ValueError, match=r"`x` must have the shape \[N, 12\]"):
        fit_semi_amortized(build_vae((12,), 2), X[:, :5])


def test_former_names_warn():
    with pytest.warns(FutureWarning, match="`.*refine` is now `fit_semi_amortized`"):
        assert semi_amortized.refine is fit_semi_amortized
    with pytest.raises(AttributeError, match="has no attribute 'refiner'"):
        _ = semi_amortized.refiner
