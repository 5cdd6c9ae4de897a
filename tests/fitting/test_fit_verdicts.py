"""What `fit` says of targets too hard for its budget, of several modes, and of the examples."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext
from gmmvi_ext.targets import build_target

tfd = tfp.distributions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "max_evaluations"),
    [
        ("funnel", {"num_dimensions": 30}, 8_000),
        ("banana", {"num_dimensions": 40}, 6_000),
    ],
)
def test_too_hard_a_target_is_not_trusted_and_the_reason_is_right(name, settings, max_evaluations):
    target = build_target(name, settings)
    # As a bare density, so that neither the known log Z nor exact draws help.
    posterior = gmmvi_ext.fit(
        target.log_prob,
        num_dimensions=target.num_dimensions,
        max_evaluations=max_evaluations,
        verbose=False,
    )
    report = posterior.report(10_000)
    assert not report.trust and report.level == "reject"
    # The reason: the budget; and where the draws show it, the tails.
    assert "stopped before the ELBO converged (max_evaluations)" in report.verdict
    assert ("k-hat" in report.verdict.split("Remedy")[0]) == (report.khat > report.khat_limit)
    assert "train longer" in report.verdict
    # And it is right: log Z = 0, and a third of a nat is what passes as exact.
    assert report.elbo < -0.35
    # Reasons that do not apply are not given.
    assert "improper" not in report.verdict and "finite" not in report.verdict


def test_a_density_that_cannot_be_normalized_ends_the_training():
    """Only the sum a + b is determined: no training would ever be over."""
    posterior = gmmvi_ext.fit(
        lambda p: -0.5 * tf.square(p["a"] + p["b"] - 1.0) - 0.5 * tf.square(p["c"]),
        shapes={"a": (), "b": (), "c": ()},
        max_evaluations=100_000,
        verbose=False,
    )
    assert posterior.run_info["exploration"]["improper"] in ("a, b", "b, a")
    assert posterior.run_info["num_target_evaluations"] < 60_000
    report = posterior.report(2000)
    assert report.level == "reject" and "does not fall off along" in report.verdict
    assert "give every parameter a prior" in report.verdict
    # What rays have said holds for that density alone.
    other = posterior.with_target(lambda p: -0.5 * (p["a"] ** 2 + p["b"] ** 2 + p["c"] ** 2))
    assert "improper" not in other.run_info["exploration"]
    assert "does not fall off" not in other.report(2000).verdict


@pytest.mark.slow
def test_unordered_mixture_has_two_modes_of_one_half(example):
    twin = example("gaussian_mixture")
    posterior = gmmvi_ext.fit(
        twin.log_density, shapes=twin.SHAPES, constraints=twin.UNORDERED, verbose=False
    )
    report = posterior.report()
    weights = twin.mode_weights(report)
    assert len(weights) == report.num_modes == 2
    np.testing.assert_allclose(weights, 0.5, atol=0.02)
    assert report.trust
    # Each mode is the other with the labels exchanged.
    first, second = (np.array(mode["location"]) for mode in report.modes[:2])
    np.testing.assert_allclose(first[[1, 0, 3, 2]], second[:4], atol=0.05)
    assert abs(first[4] + second[4] - 1.0) < 0.02


@pytest.mark.slow
def test_modes_of_unequal_weight_and_width():
    truth = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.25, 0.6, 0.15]),
        tfd.MultivariateNormalDiag(
            [[-6.0] * 4, [6.0, 6.0, 0.0, 0.0], [0.0, 0.0, 8.0, -8.0]],
            [[1.0] * 4, [0.5, 1.0, 1.0, 2.0], [2.0, 0.5, 1.0, 1.0]],
        ),
    )
    posterior = gmmvi_ext.fit(truth.log_prob, num_dimensions=4, verbose=False)
    report = posterior.report()
    weights = sorted(mode["weight"] for mode in report.modes if mode["weight"] > 0.01)
    np.testing.assert_allclose(weights, [0.15, 0.25, 0.6], atol=0.02)
    assert report.trust and abs(report.log_evidence) <= max(3 * report.log_evidence_se, 0.01)


@pytest.mark.slow
def test_ordered_means_leave_one_mode(example):
    model = example("gaussian_mixture")
    posterior = gmmvi_ext.fit(
        model.log_density,
        shapes=model.SHAPES,
        constraints=model.ORDERED,
        verbose=False,
        max_evaluations=12_000,
    )
    report = posterior.report()
    assert report.num_modes == 1
    mu = posterior.sample(2000)["mu"]
    assert (np.diff(mu, axis=1) > 0).all()
    np.testing.assert_allclose(posterior.mean()["mu"], model.MEANS, atol=0.25)


@pytest.mark.slow
def test_stationarity_interval_matches_the_grid(example):
    ar1 = example("ar1")
    posterior = gmmvi_ext.fit(
        ar1.log_density, shapes=ar1.SHAPES, constraints=ar1.CONSTRAINTS, verbose=False
    )
    moments, evidence = ar1.exact(60)
    mean, sd = posterior.mean(100_000), posterior.stddev(100_000)
    for name, (true_mean, true_sd) in moments.items():
        assert abs(mean[name] - true_mean) <= 0.05 * true_sd, name
        # The tail of mu is heavy: what a map does not reach of it carries some of its spread.
        assert abs(np.log(sd[name] / true_sd)) <= 0.08, name
    report = posterior.report()
    # Three standard errors, or the error of the grid.
    assert abs(report.log_evidence - evidence) <= max(3 * report.log_evidence_se, 0.005)
    assert (np.abs(posterior.sample(1000)["phi"]) < 1).all()


@pytest.mark.slow
def test_simulator_with_errors_on_the_host(example):
    simulator = example("simulator")
    posterior = gmmvi_ext.fit(
        simulator.log_density,
        shapes=simulator.SHAPES,
        constraints=simulator.CONSTRAINTS,
        batched=False,
        max_evaluations=4000,
        verbose=False,
        model_initialization={"prior_mean": [-0.7, -3.0, -0.7, -3.0], "prior_scale": 1.0},
    )
    assert posterior.run_info["algorithm"] == "ZAMTRON"
    low, high = posterior.quantiles(0.001), posterior.quantiles(0.999)
    for name, truth in simulator.TRUTH.items():
        assert low[name] < truth < high[name], name


@pytest.mark.slow
def test_horseshoe_tells_large_coefficients_from_none(example):
    horseshoe = example("horseshoe")
    posterior = gmmvi_ext.fit(horseshoe.make_target(), max_evaluations=20_000, verbose=False)
    mean = horseshoe.coefficients(posterior.sample(5000)).mean(axis=0)
    assert mean[0] > 1.0 and mean[1] < -0.7
    assert (np.abs(mean[2:]) < 0.4).all()


@pytest.mark.slow
def test_rates_of_the_epidemic(example):
    sir = example("sir")
    rates = tf.constant([1.7, 1.7]), tf.constant([0.45, 0.6])
    days = np.exp(sir.log_infected(*rates))
    # The same equations in small steps of Euler's rule.
    state = np.array([[sir.NUM_BOYS - 1.0] * 2, [1.0] * 2])
    for _ in range(14_000):
        caught = rates[0].numpy() * state[0] * state[1] / sir.NUM_BOYS
        state = state + 0.001 * np.array([-caught, caught - rates[1].numpy() * state[1]])
    np.testing.assert_allclose(days[-1], state[1], rtol=0.02)
    posterior = gmmvi_ext.fit(
        sir.log_density,
        shapes=sir.SHAPES,
        constraints=sir.CONSTRAINTS,
        verbose=False,
        max_evaluations=1500,
        max_components=2,
        model_initialization={"prior_mean": [1.5, -0.5, -2.0], "prior_scale": 0.5},
    )
    mean = posterior.mean()
    assert 1.5 < mean["infection"] < 2.0 and 0.4 < mean["recovery"] < 0.65
