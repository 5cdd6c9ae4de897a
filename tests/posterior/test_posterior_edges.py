"""Mass at the edge of a support: kept where its density is known, named where it is not."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.posterior.report.edges import LostEdge, find_lost_edge
from gmmvi_ext.posterior.report.verdict import judge
from gmmvi_ext.targets.callables import CallableTarget
from tests.posterior.test_posterior_verdict import GOOD

tfb, tfd = tfp.bijectors, tfp.distributions


def beta_target(a, b, constraint, dtype="float32"):
    beta = tfd.Beta(tf.constant(a, dtype), tf.constant(b, dtype))
    layout = PartsLayout({"p": ()}, {"p": constraint})
    return CallableTarget(lambda d: beta.log_prob(d["p"]), layout=layout, dtype=dtype)


def logits(a, b, size=4000):
    """Exact draws of log p / (1 - p): the logarithms of two Gamma variables keep their digits."""
    rng = np.random.default_rng(0)

    def log_gamma(shape):
        return np.log(rng.gamma(shape + 1.0, size=size)) + np.log(rng.uniform(size=size)) / shape

    return (log_gamma(a) - log_gamma(b))[:, None]


@pytest.mark.parametrize(("a", "b"), [(0.01, 0.01), (0.1, 0.1), (3.0, 0.05), (1.0, 2.0)])
def test_mass_that_is_continued_by_a_power_is_no_doubt(a, b, dtype):
    assert find_lost_edge(beta_target(a, b, "interval(0, 1)", dtype), logits(a, b)) is None


@pytest.mark.parametrize("concentration", [(0.01, 0.02, 0.5), (0.02, 0.3, 2.0, 7.0)])
def test_mass_of_a_sparse_simplex_is_no_doubt(concentration, dtype):
    shape, rng = np.array(concentration), np.random.default_rng(0)
    size = (4000, len(shape))
    logs = np.log(rng.gamma(shape + 1.0, size=size)) + np.log(rng.uniform(size=size)) / shape
    layout = PartsLayout({"w": (len(shape),)}, {"w": "simplex"})
    power = tf.constant(shape - 1.0, dtype)
    target = CallableTarget(
        lambda d: tf.reduce_sum(power * tf.math.log(d["w"]), axis=-1), layout=layout, dtype=dtype
    )
    assert find_lost_edge(target, logs[:, :-1] - logs[:, -1:]) is None


def test_mass_that_a_bijector_of_tfp_loses_is_named_with_its_share():
    found = find_lost_edge(beta_target(0.1, 0.1, tfb.Sigmoid()), logits(0.1, 0.1))
    assert found.name == "p" and not found.is_continued and 0.1 < found.share < 0.3


def test_a_peak_that_is_narrower_than_the_format_is_named():
    found = find_lost_edge(beta_target(3e6, 1.0, "interval(0, 1)"), logits(3e6, 1.0))
    assert found.is_continued and found.share > 0.1
    wide = beta_target(3e6, 1.0, "interval(0, 1)", "float64")
    assert find_lost_edge(wide, logits(3e6, 1.0)) is None


@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
@pytest.mark.parametrize("is_continued", [True, False])
def test_the_verdict_names_parameter_and_remedy(is_continued, dtype_name):
    verdict = judge(GOOD._replace(lost_edge=LostEdge("p", 0.2, is_continued, dtype_name)))
    assert not verdict.trust
    assert "20.0% of the draws of p" in verdict.sentence and dtype_name in verdict.sentence
    assert ("use dtype=tf.float64" in verdict.sentence) == (dtype_name == "float32")
