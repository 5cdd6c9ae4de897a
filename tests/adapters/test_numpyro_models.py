"""NumPyro models beyond their density: predictions, plates, missing data, chains, priors."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior

numpyro = pytest.importorskip("numpyro", reason="needs gmmvi_ext[numpyro]")
jax = pytest.importorskip("jax", reason="needs gmmvi_ext[numpyro]")
dist = numpyro.distributions
tfd = tfp.distributions

Y = np.array([[1.0, 2.0, 0.5], [-1.0, 0.0, 0.3]], np.float32)


def groups(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.deterministic("twice", 2 * mu)
    numpyro.factor("extra", 0.0)
    with numpyro.plate("row", 2, dim=-2), numpyro.plate("column", 3, dim=-1):
        numpyro.sample("y", dist.Normal(mu, sigma), obs=y)


def standard(target):
    """A standard normal mixture with the parameters of a target."""
    size = target.num_dimensions
    components = FullGaussians(tf.zeros([1, size]), 0.5 * tf.eye(size)[tf.newaxis])
    return Posterior(Mixture(tf.zeros([1]), components), target=target)


@pytest.fixture(scope="module")
def posterior():
    return standard(gmmvi_ext.from_numpyro(groups, Y))


def test_pointwise_log_likelihoods_and_replicates(posterior):
    draws = posterior.sample(4)
    found = posterior.log_likelihood(4)
    assert list(found) == ["y"]  # a factor is no observation
    wanted = tfd.Normal(draws["mu"][:, None, None], draws["sigma"][:, None, None]).log_prob(Y)
    np.testing.assert_allclose(found["y"], wanted, rtol=1e-4)
    replicates = posterior.predict(2000)["y"]
    assert replicates.shape == (2000, 2, 3)
    scale = posterior.expectation(lambda d: d["sigma"] ** 2, reweighted=False).value
    np.testing.assert_allclose(replicates.var(0), 0.25 + scale, rtol=0.25)
    assert posterior.predict(7, prior=True)["y"].shape == (7, 2, 3)


def test_arviz_has_deterministics_and_the_names_of_plates(posterior):
    pytest.importorskip("arviz", reason="needs gmmvi_ext[arviz]")
    data = posterior.to_arviz(5, log_likelihood=True, predictive=True)
    np.testing.assert_allclose(data["posterior"]["twice"], 2 * data["posterior"]["mu"], rtol=1e-6)
    assert data["observed_data"]["y"].dims == ("row", "column")
    assert data["log_likelihood"]["y"].dims == ("chain", "draw", "row", "column")
    assert data["posterior_predictive"]["y"].dims == ("chain", "draw", "row", "column")


def test_what_the_model_derives_stands_beside_the_draws_and_in_the_report(posterior):
    np.testing.assert_allclose(
        posterior.deterministics(9, seed=3)["twice"],
        2 * posterior.sample(9, seed=3)["mu"],
        rtol=1e-6,
    )
    report = posterior.report(2000)
    (row,) = (row for row in report.derived if row["name"].startswith("twice"))
    draws = 2 * posterior.sample(2000)["mu"][:1000]
    assert row["mean"] == pytest.approx(draws.mean(), abs=1e-5)
    assert row["sd"] == pytest.approx(draws.std(ddof=1), rel=1e-5)
    assert "Derived by the model" in str(report) and "twice" in str(report)
    assert "Derived by the model" in report.to_markdown()


def test_a_model_whose_derived_values_fail_is_reported_without_them(posterior, monkeypatch):
    def fails(values):
        raise RuntimeError("no luck")

    monkeypatch.setattr(posterior.target.generative, "deterministics", fails)
    with pytest.warns(UserWarning, match="not in the report: RuntimeError: no luck"):
        report = posterior.report(500)
    assert report.derived == [] and "Derived" not in str(report)


def test_predictive_of_numpyro_takes_the_draws(posterior):
    made = numpyro.infer.Predictive(numpyro.handlers.uncondition(groups), posterior.sample(6))
    assert made(jax.random.PRNGKey(0), None)["y"].shape == (6, 2, 3)


def test_of_a_site_with_missing_entries_these_alone_are_parameters():
    mask = np.array([True, False, True, False])
    data = np.array([1.0, 0.0, 2.0, 0.0], np.float32)

    def model(y, seen):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("n", 4):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y, obs_mask=seen)

    target = gmmvi_ext.from_numpyro(model, data, mask)
    assert target.layout.shapes == {"mu": (), "y_unobserved": (2,)}
    x = np.array([[0.3, -0.2, 0.9], [1.0, 2.0, 0.0]], np.float32)
    log_normal = tfd.Normal(x[:, :1], 1.0).log_prob
    wanted = tfd.Normal(0.0, 1.0).log_prob(x[:, 0])
    wanted += tf.reduce_sum(log_normal(data[mask]), 1) + tf.reduce_sum(log_normal(x[:, 1:]), 1)
    np.testing.assert_allclose(target.log_prob(tf.constant(x)), wanted, rtol=1e-5)
    assert target.start(5, (0, 1)).shape == (5, 3)
    found = standard(target).to_arviz(3, log_likelihood=True)
    assert found["posterior"]["y"].shape == (1, 3, 4)
    complete = np.asarray(found["posterior"]["y"])[0]
    np.testing.assert_array_equal(complete[:, mask], [[1.0, 2.0]] * 3)
    np.testing.assert_array_equal(complete[:, ~mask], found["posterior"]["y_unobserved"][0])
    likelihood = np.asarray(found["log_likelihood"]["y_observed"])
    np.testing.assert_array_equal(likelihood[..., ~mask], 0.0)


def test_bounds_of_missing_entries_are_those_of_their_places():
    mask = np.array([True, False, False])

    def model():
        numpyro.sample("m", dist.Normal(0.0, 1.0))
        with numpyro.plate("n", 3):
            numpyro.sample(
                "u", dist.Uniform(0.0, np.arange(1.0, 4.0)), obs=np.full(3, 0.5), obs_mask=mask
            )

    target = gmmvi_ext.from_numpyro(model)
    values = target.layout.split(tf.constant([[0.0, 50.0, 50.0]]))["u_unobserved"]
    np.testing.assert_allclose(values[0], [2.0, 3.0], rtol=1e-5)


def test_what_tensorflow_cannot_read_floods_no_terminal(capfd):
    def model():
        numpyro.sample("c", dist.TruncatedNormal(0.0, 1.0, low=0.5))

    target = gmmvi_ext.from_numpyro(model)
    value = target.log_prob(tf.zeros([1, 1])).numpy()
    wanted = tfd.TruncatedNormal(0.0, 1.0, 0.5, np.inf).log_prob(1.5).numpy()
    np.testing.assert_allclose(value, wanted, rtol=1e-4)
    assert "StableHLO" not in capfd.readouterr().err


def test_starts_and_metric_for_numpyro_are_in_its_coordinates(posterior):
    starts, matrix = posterior.mcmc_start(2).for_numpyro(groups, Y)
    assert set(starts) == {"mu", "sigma"}
    assert starts["mu"].shape == (2,)
    ((names, found),) = matrix.items()
    assert names == ("mu", "sigma")
    np.testing.assert_allclose(found[0, 0], 0.25, atol=0.03)


@pytest.fixture
def double():
    """JAX in 64 bits, as PyMC leaves it."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def test_a_model_runs_in_the_precision_of_jax(double):
    def walk(y):
        start = numpyro.sample("start", dist.Normal(0.0, 1.0))
        end, _ = jax.lax.scan(lambda x, step: (x + step, None), start, jax.numpy.asarray(y))
        numpyro.sample("y", dist.Normal(end, 1.0), obs=0.5)

    steps = np.array([0.25, 0.5])  # double: a carry of single precision would be refused
    target = gmmvi_ext.from_numpyro(walk, steps)
    x = tf.constant([[0.0], [1.0]])
    values, grads = target.log_prob_and_grad(x)
    normal = tfd.Normal(0.0, 1.0)
    assert values.dtype == tf.float32
    np.testing.assert_allclose(
        values, (normal.log_prob(x) + normal.log_prob(x + 0.25))[:, 0], rtol=1e-6
    )
    np.testing.assert_allclose(grads, -2 * x - 0.25, rtol=1e-6)


@pytest.mark.slow
def test_chains_of_numpyro_run_in_double_precision(posterior, double):
    test_chains_of_numpyro_begin_at_the_start_with_the_metric(posterior)


@pytest.mark.slow
def test_chains_of_numpyro_begin_at_the_start_with_the_metric(posterior):
    starts, matrix = posterior.mcmc_start(2).for_numpyro(groups, Y)
    kernel = numpyro.infer.NUTS(groups, dense_mass=True, inverse_mass_matrix=matrix)
    settings = {"num_chains": 2, "chain_method": "vectorized", "progress_bar": False}
    chains = numpyro.infer.MCMC(kernel, num_warmup=5, num_samples=5, **settings)
    chains.run(jax.random.PRNGKey(0), Y, init_params=starts)
    assert chains.get_samples()["mu"].shape == (10,)


def test_a_posterior_is_the_prior_of_the_next_model(posterior):
    prior = posterior.as_prior()

    def model(y):
        values = prior.for_numpyro()
        numpyro.sample("y", dist.Normal(values["mu"], values["sigma"]), obs=y)

    target = gmmvi_ext.from_numpyro(model, np.float32(0.7))
    x = posterior.unconstrained.sample(4)
    values = posterior.layout.split(tf.constant(x))
    wanted = posterior.unconstrained.log_prob(x) + tfd.Normal(
        values["mu"], values["sigma"]
    ).log_prob(0.7)
    np.testing.assert_allclose(target.log_prob(tf.constant(x)), wanted, rtol=1e-4, atol=1e-4)
