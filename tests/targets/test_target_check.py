"""Targets that cannot be fitted are told so before the first step; the ELBO of a row is right."""

import numpy as np
import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.fitting.evaluation import ElboEvaluator
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.models import GmmWrapper
from gmmvi_ext.targets import CallableTarget, HostTarget
from gmmvi_ext.targets.base import TargetError
from gmmvi_ext.targets.checks import check_target


def standard(dim=2):
    return Mixture(tf.zeros([1]), FullGaussians(tf.zeros([1, dim]), tf.eye(dim)[tf.newaxis]))


def normal(x):
    return -0.5 * tf.reduce_sum(x**2, axis=-1)


def test_a_good_target_passes():
    check_target(CallableTarget(normal, 2), standard())
    host = HostTarget(lambda x: -0.5 * (x**2).sum(-1), 2)
    check_target(host, standard(), needs_gradient=False)


def test_a_target_that_is_finite_somewhere_passes():
    rare = CallableTarget(lambda x: tf.where(x[:, 0] > 1.5, normal(x), -np.inf), 2)
    check_target(rare, standard())


def boom(x):
    raise RuntimeError("no such thing\nmore")


@pytest.mark.parametrize(
    ("function", "part"),
    [
        (lambda x: normal(x) * np.nan, "is NaN at all of 256 draws"),
        (lambda x: normal(x) - np.inf, "is -inf or NaN at all of 256 draws"),
        (lambda x: x, r"has shape \[8, 2\], expected \[8\]; return one value for each point"),
        (lambda x: normal(x)[:, tf.newaxis], r"has shape \[8, 1\]"),
        (lambda x: tf.reduce_sum(normal(x)), r"has shape \[\].*sum over the last axis only"),
        (lambda x: tf.cast(normal(x), tf.int32), "is of type int32, expected float32"),
        (lambda x: normal(x) - tf.reduce_sum(x), "reduce over the last axis, not over the batch"),
        (lambda x: normal(x @ tf.ones([3, 1])), "log_prob fails at points"),
        (boom, r"log_prob fails at points \[8, 2\] of type float32: RuntimeError: no such thing"),
        (lambda x: tf.constant(normal(x).numpy()), "the gradient of `log_prob`"),
    ],
)
def test_a_bad_target_is_told_what_to_change(function, part):
    with pytest.raises(TargetError, match=part) as caught:
        check_target(CallableTarget(function, 2), standard())
    assert "\n" not in str(caught.value)


def test_the_elbo_of_the_target_itself_is_its_log_normalizer():
    model = GmmWrapper(standard())
    evaluate = ElboEvaluator(model, CallableTarget(normal, 2), num_samples=50)
    row = evaluate(3)
    assert row["elbo"] == pytest.approx(np.log(2 * np.pi), abs=1e-5)
    assert row["elbo_se"] < 1e-5 and row["weights"] == [1.0]
    assert evaluate(3) == row and evaluate(4)["entropy"] != row["entropy"]


def test_temperature_weighs_the_entropy():
    model = GmmWrapper(standard())
    cold = ElboEvaluator(model, CallableTarget(normal, 2), num_samples=400, temperature=0.5)(1)
    warm = ElboEvaluator(model, CallableTarget(normal, 2), num_samples=400)(1)
    assert warm["elbo"] - cold["elbo"] == pytest.approx(0.5 * warm["entropy"], rel=1e-5)


def test_values_that_are_not_finite_are_left_out_and_counted():
    half = CallableTarget(lambda x: tf.where(x[:, 0] > 0, normal(x), -np.inf), 2)
    row = ElboEvaluator(GmmWrapper(standard()), half, num_samples=2000)(1)
    # 1000 +- 22 draws are left out; five standard deviations fail once in two million.
    assert abs(row["nonfinite_fraction"] - 0.5) < 0.06 and np.isfinite(row["elbo"])


class Measured(CallableTarget):
    def metrics(self, mixture, samples):
        return {"share_right": float(np.mean(samples.numpy()[:, 0] > 0)), "elbo": 99.0}


def test_the_metrics_of_the_target_stand_in_the_row_under_their_names():
    row = ElboEvaluator(GmmWrapper(standard()), Measured(normal, 2), num_samples=2000)(1)
    # Standard error 0.011; five of them fail once in two million.
    assert abs(row["share_right"] - 0.5) < 0.06
    assert row["elbo"] == pytest.approx(np.log(2 * np.pi), abs=1e-5)  # the row's own names win


def test_metrics_that_raise_leave_a_line_and_the_row_stands():
    class Broken(CallableTarget):
        def metrics(self, mixture, samples):
            raise KeyError("no test data")

    row = ElboEvaluator(GmmWrapper(standard()), Broken(normal, 2), num_samples=50)(1)
    assert row["metrics_problem"] == "KeyError: 'no test data'"
    assert row["elbo"] == pytest.approx(np.log(2 * np.pi), abs=1e-5)


def test_a_gradient_that_is_nan_everywhere_is_refused_with_what_to_look_for():
    y = np.array([1.0, np.nan, 2.0], np.float32)

    def log_prob(x):
        known = tf.where(np.isfinite(y), -0.5 * (y - x[:, :1]) ** 2, 0.0)
        return -0.5 * tf.reduce_sum(x**2, axis=1) + tf.reduce_sum(known, axis=1)

    with pytest.raises(TargetError, match=r"respect to x\[0\]\) is NaN.*tf.where.*ZAMTRON"):
        gmmvi_ext.fit(log_prob, num_dimensions=2, verbose=False)
