"""PyMC models beyond their density: initial values, Cholesky factors, predictions, axes."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior

pymc = pytest.importorskip("pymc", reason="needs gmmvi_ext[pymc]")
pytensor = pytest.importorskip("pytensor", reason="needs gmmvi_ext[pymc]")
pytest.importorskip("jax", reason="needs gmmvi_ext[pymc]")
tfd = tfp.distributions

Y = np.array([1.0, 2.0, 0.5])


def standard(target):
    size = target.num_dimensions
    loc, scale = tf.zeros([1, size], target.dtype), 0.5 * tf.eye(size, dtype=target.dtype)
    return Posterior(
        Mixture(tf.zeros([1], target.dtype), FullGaussians(loc, scale[tf.newaxis])), target=target
    )


@pytest.fixture(scope="module")
def model():
    with pymc.Model(coords={"row": ["a", "b", "c"]}) as model:
        mu = pymc.Normal("mu", 0.0, 2.0, initval=1.25)
        sigma = pymc.HalfNormal("sigma", 1.0)
        pymc.Deterministic("twice", 2 * mu)
        pymc.Normal("y", mu, sigma, observed=Y, dims="row")
    return model


@pytest.fixture(scope="module")
def posterior(model):
    return standard(gmmvi_ext.from_pymc(model))


def test_initial_values_are_where_the_search_begins_and_stay_the_models(model, posterior):
    assert dict(posterior.target.initial_values) == {"mu": 1.25}
    assert [v for v in model.rvs_to_initial_values.values() if v is not None] == [1.25]


def test_pointwise_log_likelihoods_and_replicates(posterior):
    draws = posterior.sample(4)
    wanted = tfd.Normal(draws["mu"][:, None], draws["sigma"][:, None]).log_prob(Y)
    np.testing.assert_allclose(posterior.log_likelihood(4)["y"], wanted, rtol=1e-6)
    assert posterior.predict(20)["y"].shape == (20, 3)


def test_arviz_has_deterministics_dimensions_and_coordinates(posterior, model):
    pytest.importorskip("arviz", reason="needs gmmvi_ext[arviz]")
    data = posterior.to_arviz(5, log_likelihood=True)
    np.testing.assert_allclose(data["posterior"]["twice"], 2 * data["posterior"]["mu"])
    assert data["log_likelihood"]["y"].dims == ("chain", "draw", "row")
    assert list(data["observed_data"]["row"].values) == ["a", "b", "c"]
    found = pymc.sample_posterior_predictive(
        data, model=model, progressbar=False, return_inferencedata=False
    )
    assert found["y"].shape == (1, 5, 3)


def test_packed_cholesky_factors_and_correlations_have_their_constraints():
    with pymc.Model() as model:
        pymc.LKJCholeskyCov("chol", n=3, eta=2.0, sd_dist=pymc.Exponential.dist(1.0, size=3))
        pymc.LKJCorr("corr", n=3, eta=2.0)
    target = gmmvi_ext.from_pymc(model)
    assert target.layout.shapes == {"chol": (6,), "corr": (3,)}
    x = np.random.default_rng(0).normal(size=(3, 9))
    parts, log_det = target.layout.split_with_log_det(tf.constant(x, target.dtype))
    wanted = model.compile_fn(
        model.logp(jacobian=False), inputs=model.value_vars, mode="FAST_COMPILE"
    )
    names = {v.name: rv for rv, v in model.rvs_to_values.items()}
    for n in range(3):
        point = {}
        for name, rv in names.items():
            transform = model.rvs_to_transforms[rv]
            value = pytensor.tensor.as_tensor(parts[rv.name][n].numpy())
            point[name] = transform.forward(value, *rv.owner.inputs).eval()
        got = target.log_prob(tf.constant(x[n : n + 1], target.dtype)).numpy()[0]
        np.testing.assert_allclose(got, wanted(point) + log_det[n], rtol=1e-5, atol=1e-4)


def test_a_posterior_is_the_prior_of_the_next_model(posterior):
    prior = posterior.as_prior()
    with pymc.Model() as following:
        values = prior.for_pymc()
        pymc.Normal("y", values["mu"], values["sigma"], observed=0.7)
    target = gmmvi_ext.from_pymc(following)
    x = posterior.unconstrained.sample(4)
    values = posterior.layout.split(tf.constant(x))
    likelihood = tfd.Normal(values["mu"], values["sigma"]).log_prob(0.7)
    wanted = posterior.unconstrained.log_prob(x) + likelihood
    found = target.log_prob(tf.constant(x, target.dtype))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
