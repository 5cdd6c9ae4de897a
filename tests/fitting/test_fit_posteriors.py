"""Posteriors with known answers from `fit` with its defaults."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext
from gmmvi_ext.gaussians import LowRankGaussians

tfd = tfp.distributions


@pytest.mark.slow
def test_coin(example):
    posterior = gmmvi_ext.fit(
        example("coin").log_density,
        shapes={"p": ()},
        constraints={"p": "interval(0, 1)"},
        verbose=False,
    )
    report = posterior.report()
    # Three standard errors, false alarm in 0.3 % of seeds; the floor is rounding.
    slack = max(3 * report.log_evidence_se, 1e-5)
    assert abs(report.log_evidence + np.log(60.0)) <= slack
    exact = tfd.Beta(np.float64(3), 4)
    assert abs(posterior.mean(100_000)["p"] - exact.mean()) <= 0.05 * exact.stddev()
    assert abs(np.log(posterior.stddev(100_000)["p"] / exact.stddev())) <= 0.05
    assert report.trust


@pytest.mark.slow
def test_weights_of_two_modes(example):
    demo = example("weights_demo")
    posterior = gmmvi_ext.fit(demo.TARGET.log_prob, num_dimensions=1, verbose=False)
    np.testing.assert_allclose(demo.mode_weights(posterior), [0.9, 0.1], atol=0.01)


@pytest.mark.slow
def test_eight_schools(example):
    schools = example("eight_schools")
    data = schools.model.experimental_pin(effects=schools.EFFECTS)
    posterior = gmmvi_ext.fit(data, verbose=False)
    assert posterior.parameter_names == ["mu", "tau", "theta"]
    for name, error, ratio in schools.compare(posterior):
        assert abs(error) <= 0.05, f"{name}: mean is off by {error:.3f} sd"
        assert abs(ratio) <= 0.05, f"{name}: log sd ratio {ratio:.3f}"
    report = posterior.report()
    assert report.khat < 0.7
    assert report.trust


@pytest.mark.slow
def test_host_function_without_gradient():
    def log_density(parameters):
        mu, tau = np.array(parameters["mu"].tolist()), parameters["tau"]
        return -0.5 * (mu - 1.0) ** 2 - 2.0 * tau

    posterior = gmmvi_ext.fit(
        log_density,
        shapes={"mu": (), "tau": ()},
        constraints={"tau": "positive"},
        max_evaluations=30_000,
        verbose=False,
    )
    assert posterior.run_info["algorithm"] == "ZAMTRON"
    # N(1, 1) and an exponential of rate 2: log Z = log(sqrt(2 pi) / 2).
    report = posterior.report()
    assert abs(report.log_evidence - np.log(np.sqrt(2 * np.pi) / 2)) <= 0.02
    assert abs(posterior.mean()["mu"] - 1.0) <= 0.05
    assert abs(posterior.mean()["tau"] - 0.5) <= 0.025


def test_same_seed_same_posterior_and_limits_hold():
    def fitted(seed):
        return gmmvi_ext.fit(
            lambda x: -0.5 * tf.reduce_sum((x - 1.0) ** 2, -1),
            num_dimensions=2,
            seed=seed,
            max_evaluations=600,
            max_components=2,
            importance_check="off",
            verbose=False,
        )

    one, other = fitted(3), fitted(3)
    np.testing.assert_array_equal(one.mixture.components.loc, other.mixture.components.loc)
    assert one.mixture.num_components <= 2
    # The iteration that reaches the limit is the last: at most one more draw of all components.
    assert one.run_info["num_target_evaluations"] <= 600 + 2 * 60
    assert one.run_info["stop_reason"] in ("max_evaluations", "converged")
    np.testing.assert_allclose(one.mean(), [1.0, 1.0], atol=0.05)


def test_points_of_no_use_count_against_the_limit(capsys):
    posterior = gmmvi_ext.fit(
        # Eight in nine points of a wide start have no density.
        lambda x: tf.where(tf.reduce_all(x > 0, 1), -tf.reduce_sum(x, 1), float("nan")),
        num_dimensions=3,
        max_evaluations=1000,
        max_components=1,
    )
    assert "over finite values alone" in capsys.readouterr().err
    assert posterior.run_info["num_nonfinite"] > 0
    assert posterior.run_info["num_target_evaluations"] <= 1000 + 60
    assert posterior.run_info["stop_reason"] == "max_evaluations"


def test_a_first_mixture_of_low_rank_is_the_nearest_one(tmp_path):
    """Exact here: x is one common direction beside independent noise."""
    common, alone = np.array([2.0, -1.0, 1.0]), np.array([1.0, 2.0, 0.5])
    covariance = np.outer(common, common) + np.diag(alone)
    precision = tf.constant(np.linalg.inv(covariance), tf.float32)
    posterior = gmmvi_ext.fit(
        lambda x: -0.5 * tf.reduce_sum(x * tf.linalg.matmul(x, precision), axis=1),
        num_dimensions=3,
        model_initialization={"use_low_rank": 1},
        max_evaluations=3000,
        verbose=False,
    )
    assert isinstance(posterior.mixture.components, LowRankGaussians)
    posterior.export(tmp_path / "exported")
    again = gmmvi_ext.load(tmp_path / "exported")
    assert isinstance(again.mixture.components, LowRankGaussians)
    found = np.cov(again.sample(20_000, seed=0), rowvar=False)
    np.testing.assert_allclose(found, covariance, atol=0.5)
