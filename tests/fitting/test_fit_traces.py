"""Fits of one process: what is traced again, and what TensorFlow says about it."""

import collections
import logging

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import gmmvi_ext
from gmmvi_ext.inference import learning_step
from gmmvi_ext.targets.joint_distribution import joint_target


def regression(seed):
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(size=(30, 2)), tf.float32)
    y = tf.constant(rng.normal(size=30), tf.float32)

    def log_density(w):
        residuals = y - tf.matmul(w, x, transpose_b=True)
        return -0.5 * tf.reduce_sum(residuals**2, axis=1) - 0.5 * tf.reduce_sum(w**2, axis=1)

    return log_density


def test_fits_of_one_size_trace_the_learning_step_once_and_each_target_once(monkeypatch, caplog):
    monkeypatch.setattr(learning_step, "_steps", collections.OrderedDict())
    settings = {"num_dimensions": 2, "verbose": False, "max_evaluations": 2000}
    posteriors = []
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        for seed in range(6):
            posteriors.append(gmmvi_ext.fit(regression(seed), seed=seed, **settings))
            posteriors[-1].report(2000)
            posteriors[-1].reweight(10)
    assert sum(step.num_traces for step in learning_step._steps.values()) <= 2
    assert all(each.target.num_traces <= 2 for each in posteriors)  # values; values and gradients
    assert not [record for record in caplog.records if "retracing" in record.getMessage()]


def test_a_target_is_traced_anew_by_each_fit_so_that_its_data_may_change():
    shift = [0.0]
    target = gmmvi_ext.targets.CallableTarget(
        lambda x: -0.5 * tf.reduce_sum((x - shift[0]) ** 2, axis=1), 2
    )
    settings = {"verbose": False, "max_evaluations": 1500}
    before = gmmvi_ext.fit(target, **settings).mean()
    shift[0] = 5.0
    after = gmmvi_ext.fit(target, **settings).mean()
    np.testing.assert_allclose(before, 0.0, atol=0.1)
    np.testing.assert_allclose(after, 5.0, atol=0.1)


def test_evaluating_a_model_that_tfp_batches_is_quiet(caplog):
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        yield tfd.Normal(0.0, 1.0, name="mu")

    target = joint_target(model)
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        for size in range(1, 9):
            target.log_prob(tf.zeros([size, 1]))
        assert tf.get_logger().level == logging.WARNING
    assert not caplog.records
