"""What is good enough is not trained; what is not, is."""

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.search import FirstMixture
from gmmvi_ext.fitting.stages.importance_check import _is_good, importance_check
from gmmvi_ext.targets import CallableTarget
from gmmvi_ext.targets.benchmarks import random_gmm


def gaussian_target(mean, covariance):
    mean, precision = np.asarray(mean, "f"), np.linalg.inv(covariance).astype("f")
    return CallableTarget(
        lambda x: -0.5 * tf.einsum("ni,ij,nj->n", x - mean, precision, x - mean), len(mean)
    )


def first(loc, factor) -> FirstMixture:
    return FirstMixture(np.zeros(1), np.array([loc], float), np.array([factor], float))


def test_an_exact_mixture_passes_and_is_left_as_it_is():
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    target = CountedTarget(gaussian_target([1.0, -2.0], covariance))
    checked = importance_check(
        target, first([1.0, -2.0], np.linalg.cholesky(covariance)), num_samples=300
    )
    assert checked.is_good and len(checked.rounds) == 2 and target.count == 600
    np.testing.assert_allclose(checked.mixture.loc[0], [1.0, -2.0], atol=1e-4)
    factor = checked.mixture.scale_tril[0]
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=1e-4)


def test_a_mixture_that_is_a_little_off_is_moved_to_where_it_belongs():
    target = CountedTarget(gaussian_target([0.4, 0.0], np.diag([1.3, 0.8])))
    checked = importance_check(target, first([0.0, 0.0], np.eye(2)), num_samples=2000)
    assert checked.is_good and checked.rounds[0]["shift"] > 0.2
    np.testing.assert_allclose(checked.mixture.loc[0], [0.4, 0.0], atol=0.03)
    factor = checked.mixture.scale_tril[0]
    np.testing.assert_allclose(np.diag(factor @ factor.T), [1.3, 0.8], rtol=0.05)


@pytest.mark.parametrize("budget", [0, 299, 300, 700])
def test_the_budget_is_kept(budget):
    target = CountedTarget(gaussian_target([0.0, 0.0], np.eye(2)))
    checked = importance_check(target, first([0, 0], np.eye(2)), num_samples=300, budget=budget)
    assert target.count <= budget and checked.is_good == (budget >= 600)


def test_moments_that_few_draws_leave_uncertain_get_more_of_them():
    """A log-gamma density, k = 25: skewed a little, ESS 95 %."""

    def log_prob(x):
        return tf.reduce_sum(25.0 * x - 25.0 * tf.exp(x), axis=1)

    target = CountedTarget(CallableTarget(log_prob, 3))
    shape = np.eye(3) / 5.0
    checked = importance_check(target, first(np.zeros(3), shape), num_samples=200)
    errors = [each["error"] for each in checked.rounds]
    assert checked.is_good and errors[0] > 0.015 and errors[-1] < 0.015
    assert 200 * len(errors) < target.count <= 200 * len(errors) + 800  # MAX_MORE
    means = checked.mixture.loc[0]
    np.testing.assert_allclose(means, -0.0201, atol=0.01)  # digamma(25) - log 25
    kept = importance_check(target, first(np.zeros(3), shape), num_samples=200, budget=450)
    assert len(kept.rounds) == 2


def test_a_density_of_another_shape_does_not_pass():
    target = CountedTarget(
        CallableTarget(lambda x: -0.5 * x[:, 0] ** 2 - 8.0 * (x[:, 1] - x[:, 0] ** 2) ** 2, 2)
    )
    checked = importance_check(target, first([0, 0], np.diag([1.0, 0.25])), num_samples=500)
    assert not checked.is_good


@pytest.mark.parametrize(("khat", "passes"), [(0.3, True), (0.9, True), (1.2, False)])
def test_weights_without_a_mean_do_not_pass_whatever_the_ess(khat, passes):
    figures = {"ess": 0.97, "khat": khat, "gap": 0.01, "shift": 0.01}
    assert _is_good(figures) is passes
    assert _is_good(figures | {"ess": 0.9}) is (khat <= 0.5)


def test_points_without_a_value_do_not_pass():
    target = CountedTarget(CallableTarget(lambda x: tf.math.log(x[:, 0]), 1))
    assert not importance_check(target, first([0.5], np.eye(1)), num_samples=200).is_good


def test_a_posterior_of_separate_gaussians_is_not_trained_and_others_are():
    def two(x):
        far = [-0.5 * tf.reduce_sum((x - each) ** 2, axis=1) for each in (-15.0, 15.0)]
        return tf.reduce_logsumexp(tf.stack(far), axis=0)

    posterior = gmmvi_ext.fit(two, num_dimensions=2, verbose=False)
    assert posterior.run_info["iterations"] == 0
    assert posterior.run_info["num_target_evaluations"] < 3000
    modes = posterior.modes
    assert len(modes) == 2 and all(mode["num_found"] > 0 for mode in modes)
    assert [round(mode["weight"], 2) for mode in modes] == [0.5, 0.5]
    trained = gmmvi_ext.fit(
        two,
        num_dimensions=2,
        verbose=False,
        importance_check="off",
        training={"num_iterations": 3},
    )
    assert trained.run_info["iterations"] == 3


def eight(x):
    """Eight unit Gaussians on a circle."""
    angles = np.arange(8) * np.pi / 4
    places = (20.0 * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)
    return tf.reduce_logsumexp(-0.5 * tf.reduce_sum((x[:, None] - places) ** 2, axis=2), axis=1)


def test_the_number_of_components_that_was_asked_for_is_kept_to():
    settings = {"verbose": False, "training": {"num_iterations": 3}}
    posterior = gmmvi_ext.fit(eight, num_dimensions=2, max_components=3, **settings)
    assert int(posterior.mixture.num_components) <= 3
    assert posterior.run_info["modes"]["num_modes"] == 8
    report = posterior.report(2000)
    assert not report.trust and "fresh searches" in report.verdict
    without = gmmvi_ext.fit(eight, num_dimensions=2, **settings)
    assert int(without.mixture.num_components) == 8 and without.run_info["iterations"] == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"use_diagonal": True},
        {"temperature": 2.0},
        {"algorithm": {"num_component_adapter_type": "fixed"}},
    ],
    ids=["diagonal", "tempered", "fixed number"],
)
def test_a_check_of_other_mixtures_than_those_asked_for_ends_no_fit(settings):
    if settings.pop("use_diagonal", False):
        settings = {"model_initialization": {"use_diagonal_covs": True}}
    posterior = gmmvi_ext.fit(
        lambda x: -0.5 * (x[:, 0] ** 2 + x[:, 1] ** 2 - 1.8 * x[:, 0] * x[:, 1]) / 0.19,
        num_dimensions=2,
        verbose=False,
        training={"num_iterations": 3},
        **settings,
    )
    assert posterior.run_info["iterations"] == 3
    assert "importance_check" not in posterior.run_info


@pytest.mark.parametrize("limit", [None, 3000])
def test_searches_go_on_where_what_they_found_fits_unless_they_are_limited(limit):
    target = random_gmm(seed=1)
    posterior = gmmvi_ext.fit(
        target, max_evaluations=15_000, start={"max_evaluations": limit}, seed=1, verbose=False
    )
    number = posterior.run_info["modes"]["num_modes"]
    assert posterior.run_info["num_target_evaluations"] <= 15_000
    assert number == 10 if limit is None else number < 10
