"""Importance-corrected expectations and draws reach the target through a wrong mixture."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior


def gaussian(loc, scale):
    loc = tf.constant([[loc]], tf.float64)
    return Mixture(
        tf.zeros([1], tf.float64), FullGaussians(loc, tf.constant([[[scale]]], tf.float64))
    )


@pytest.fixture
def wrong(make_target):
    """q = N(0, 1.5^2) for the target N(0.5, 1)."""
    target = make_target(gaussian(0.5, 1.0), log_z=2.0)
    return Posterior(gaussian(0.0, 1.5), parameter_names=["a"], target=target)


def test_expectation_is_corrected_and_its_error_is_honest(wrong):
    plain = wrong.expectation(lambda d: d["a"], reweighted=False)
    assert abs(plain.value) < 6 * plain.standard_error
    assert np.isnan(plain.khat)
    right = wrong.expectation(lambda d: np.stack([d["a"], d["a"] ** 2], -1))
    # Two comparisons at 5 standard errors: fails once in 9e5 seeds.
    assert (np.abs(right.value - [0.5, 1.25]) < 5 * right.standard_error).all()
    assert (right.standard_error < 0.03).all() and right.khat < 0.5


def test_reweighted_draws_follow_the_target_without_duplicates(wrong):
    draws = wrong.reweight(4000)["a"]
    assert np.unique(draws).size == 4000
    # Standard errors 0.016 and 0.011; the choice without replacement biases the sd by under 2 %.
    assert abs(draws.mean() - 0.5) < 0.08
    assert abs(draws.std() - 1.0) < 0.06
    repeated = wrong.reweight(4000, replace=True, num_proposals=3000)["a"]
    assert np.unique(repeated).size < 4000
    assert abs(repeated.mean() - 0.5) < 0.09
    np.testing.assert_array_equal(draws, wrong.reweight(4000)["a"])


def test_many_evaluations_are_announced(wrong, capfd):
    wrong.reweight(2000)
    assert "reweight" not in capfd.readouterr().err
    wrong.reweight(2001)
    assert "reweight: evaluates the target 20,010 times" in capfd.readouterr().err
    wrong.reweight(2001, num_proposals=30_000)  # asked for
    assert "reweight" not in capfd.readouterr().err


def test_too_many_distinct_draws_are_refused(wrong):
    with pytest.raises(ValueError, match="num_proposals"):
        wrong.reweight(500, num_proposals=400)
    with pytest.raises(ValueError, match="`num_proposals` must be an integer from 1"):
        wrong.reweight(500, num_proposals=0)


def test_without_target_the_remedy_is_named(make_mixture):
    posterior = Posterior(make_mixture())
    with pytest.raises(ValueError, match="with_target"):
        posterior.reweight(10)
    with pytest.raises(ValueError, match="with_target"):
        posterior.expectation(lambda x: x, reweighted=True)
    with pytest.raises(ValueError, match="one value per draw"):
        posterior.expectation(lambda x: 3.0)


def test_scored_draws_are_evaluated_once(make_mixture, make_target):
    mixture = make_mixture()
    calls = []
    target = make_target(mixture)
    target.is_graph_safe = False
    inner = target.log_prob
    target.log_prob = lambda x, seed=None: calls.append(len(x)) or inner(x)
    posterior = Posterior(mixture, target=target)
    posterior.report(2000)
    assert calls[0] == 2000
    spent = sum(calls)  # with the audit and the rays
    posterior.expectation(lambda x: x, 2000)
    posterior.reweight(200, num_proposals=2000)
    assert sum(calls) == spent


def test_merge_finds_the_weights_of_separate_modes_without_new_evaluations(make_target):
    loc = tf.constant([[-5.0], [5.0]], tf.float64)
    scale = tf.ones([2, 1, 1], tf.float64)
    truth = Mixture(tf.math.log(tf.constant([0.9, 0.1], tf.float64)), FullGaussians(loc, scale))
    fits = [Posterior(gaussian(m, 1.0), target=make_target(truth)) for m in (-5.0, 5.0)]
    for fit in fits:
        fit.report(2000)
    merged = Posterior.merge(fits)
    assert merged.run_info["num_merge_evaluations"] == 0
    np.testing.assert_allclose(np.exp(merged.mixture.log_weights), [0.9, 0.1], atol=1e-3)
    report = merged.report(5000)
    assert report.trust and abs(report.log_evidence) < 0.01
    assert not fits[0].with_target(make_target(truth)).run_info


def test_merge_drops_a_component_that_only_hurts(make_target):
    truth = gaussian(0.0, 1.0)
    good = Posterior(gaussian(0.0, 1.0), target=make_target(truth))
    useless = Posterior(gaussian(30.0, 1.0), target=make_target(truth))
    merged = Posterior.merge([useless, good], 2000)
    assert merged.run_info["num_merge_evaluations"] == 4000
    assert int(merged.mixture.num_components) == 1
    assert merged.unconstrained.loc.numpy()[0, 0] == 0.0


def test_merge_needs_equal_spaces(make_mixture):
    with pytest.raises(ValueError, match="same parameters"):
        Posterior.merge([Posterior(make_mixture(dims=1)), Posterior(make_mixture(dims=2))])
    with pytest.raises(ValueError, match="at least 1 of"):
        Posterior.merge([])
