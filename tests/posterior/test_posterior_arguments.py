"""What is no number, no level or no density of these parameters is refused by name."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.models import initial_mixture
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.predictive import leave_one_out
from gmmvi_ext.targets.callables import CallableTarget

tfd = tfp.distributions


@pytest.fixture(scope="module")
def posterior():
    layout = PartsLayout({"x": (2,)})
    target = CallableTarget(lambda p: -0.5 * tf.reduce_sum(p["x"] ** 2, 1), layout=layout)
    return Posterior(initial_mixture(2), target=target)


@pytest.mark.parametrize("level", [float("nan"), [0.5, float("nan")], 0.0, 1.0])
def test_a_level_that_is_none_has_no_quantile(posterior, level):
    with pytest.raises(ValueError, match="`q` must lie strictly between 0 and 1"):
        posterior.quantiles(level)


@pytest.mark.parametrize("value", ["a", None, {}, [[1.0, 2.0], [3.0]], np.array([[1j, 0.0]])])
def test_points_are_real_numbers(posterior, value):
    with pytest.raises(ValueError, match=r"'x' must be a number or an array of real numbers, got"):
        posterior.log_prob({"x": value})
    if not isinstance(value, dict):  # a dict gives its points by name
        with pytest.raises(ValueError, match="points must be a number or an array of real numbers"):
            posterior.log_prob(value)


def test_points_in_another_precision_are_points(posterior):
    point = tf.constant([[1.0, 2.0]], tf.float64)
    np.testing.assert_array_equal(posterior.log_prob({"x": point}), posterior.log_prob([1.0, 2.0]))


@pytest.mark.parametrize(
    "function",
    [
        lambda draws: "a",
        lambda draws: {"a": draws["x"]},
        lambda draws: [[1.0], [1.0, 2.0]],
        lambda draws: 1j * draws["x"],
    ],
    ids=["text", "dict", "ragged", "complex"],
)
def test_an_expectation_is_one_of_real_numbers(posterior, function):
    with pytest.raises(ValueError, match="what the function of an expectation returns must be"):
        posterior.expectation(function, num_samples=100)


@pytest.mark.parametrize("prob", ["a", None, float("nan")])
def test_an_interval_holds_a_share(posterior, prob):
    with pytest.raises(ValueError, match="`prob` must lie strictly between 0 and 1"):
        posterior.hdi(prob)


@pytest.mark.parametrize("count", ["a", 1.5, 99, True])
def test_a_report_counts_its_draws(posterior, count):
    with pytest.raises(ValueError, match="`num_samples` must be an integer from 100 to"):
        posterior.report(count)


@pytest.mark.parametrize(("value", "told"), [("a", "real numbers"), ([1.0, 2.0], "one value of")])
def test_one_number_of_each_parameter_is_given(posterior, value, told):
    with pytest.raises(ValueError, match=told):
        posterior.condition({"x[0]": value})


@pytest.mark.parametrize(
    "other",
    [
        tfd.MultivariateNormalDiag([0.0, 0.0]),
        tfd.JointDistributionNamed({"y": tfd.Sample(tfd.Normal(0.0, 1.0), 2)}),
    ],
    ids=["no names", "other names"],
)
def test_a_divergence_from_a_density_of_something_else_is_refused(posterior, other):
    with pytest.raises(ValueError, match=r"a dict of arrays \{'x': \[100, 2\]\}, and it fails"):
        posterior.kl(other, 100)


def test_a_likelihood_that_is_no_number_is_counted():
    likelihood = np.zeros((50, 3))
    likelihood[:2, 1] = np.nan
    with pytest.raises(ValueError, match="in 2 of 50 draws, at 1 of 3 observations"):
        leave_one_out(likelihood, np.zeros(50))
