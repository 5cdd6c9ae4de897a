"""Draws for pandas and ArviZ; both are optional and named when absent."""

import importlib.util
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets.callables import CallableTarget

needs_arviz = pytest.mark.skipif(
    importlib.util.find_spec("arviz") is None, reason="needs arviz (pip install arviz)"
)
needs_pandas = pytest.mark.skipif(
    importlib.util.find_spec("pandas") is None, reason="needs pandas (pip install pandas)"
)


@pytest.mark.parametrize(
    "method, package, line",
    [
        ("to_arviz", "arviz", "gmmvi_ext\\[arviz\\]"),
        ("to_dataframe", "pandas", "pip install pandas"),
    ],
)
def test_a_missing_package_is_named(make_posterior, monkeypatch, method, package, line):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=line):
        getattr(make_posterior(), method)(10)


@needs_pandas
def test_dataframe_has_a_column_per_number(make_posterior):
    frame = make_posterior().to_dataframe(20, seed=1)
    assert list(frame.columns) == ["mu", "tau", "w[0]", "w[1]", "w[2]"]
    np.testing.assert_allclose(frame["tau"], make_posterior().sample(20, seed=1)["tau"])


@needs_arviz
def test_arviz_groups_and_variables(make_posterior):
    posterior = make_posterior()
    posterior = posterior.with_target(CallableTarget(posterior.unconstrained.log_prob, 4))
    data = posterior.to_arviz(50)
    assert dict(data["posterior"].sizes)["draw"] == 50
    assert data["posterior"]["w"].shape[:2] == (1, 50)
    stats = data["sample_stats"]
    assert {"log_p", "log_q", "log_weight", "component"} <= set(stats.data_vars)
    np.testing.assert_allclose(stats["log_p"], stats["log_q"], rtol=1e-5)
    assert "unconstrained_posterior" in list(
        data.groups() if callable(data.groups) else data.children
    )
    assert data["posterior"].attrs["draws"] == "independent"


@needs_arviz
def test_arviz_has_data_likelihood_and_replicates_of_a_joint_distribution():
    tfd = tfp.distributions

    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        x = yield tfd.Normal(0.0, 1.0, name="x")
        yield tfd.Normal(x * tf.ones(3), 1.0, name="y")

    data = np.float32([0.5, 1.0, 1.5])
    mixture = Mixture(tf.zeros([1]), FullGaussians(tf.constant([[0.75]]), tf.constant([[[0.5]]])))
    posterior = Posterior(mixture, parameter_names={"x": ()})
    posterior = posterior.with_target(model.experimental_pin(y=data))
    for reweighted in (False, True):
        found = posterior.to_arviz(
            40, log_likelihood=True, predictive=True, prior=True, reweighted=reweighted
        )
        np.testing.assert_array_equal(found["observed_data"]["y"], data)
        assert found["posterior_predictive"]["y"].shape == (1, 40, 3)
        assert found["prior_predictive"]["y"].shape == (1, 40, 3)
        x = np.asarray(found["posterior"]["x"])[..., None]
        wanted = -0.5 * (data - x) ** 2 - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(found["log_likelihood"]["y"], wanted, rtol=1e-4)
        assert ("log_weight" in found["sample_stats"]) is not reweighted
