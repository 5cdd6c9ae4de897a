import numpy as np
import tensorflow as tf

from gmmvi_ext.math.logspace import effective_sample_size, normalize_log_weights, softmax


def test_normalized_weights_sum_to_one_and_keep_a_floor():
    log_weights = normalize_log_weights(tf.constant([0.0, -500.0, -1.0], tf.float64))
    assert abs(np.exp(log_weights).sum() - 1) < 1e-14
    np.testing.assert_allclose(
        log_weights[1], -69.07 - np.log(1 + np.exp(-1)) + np.log(np.exp(0) + np.exp(-1)), atol=0.4
    )
    assert log_weights[1] > -70


def test_effective_sample_size_of_known_weights():
    log_weights = tf.constant([[0.0, 0.0], [0.0, -1000.0], [0.0, float("-inf")]], tf.float64)
    np.testing.assert_allclose(effective_sample_size(log_weights), [3.0, 1.0])


def test_effective_sample_size_of_nothing_is_zero():
    assert effective_sample_size(tf.constant([[float("-inf")]] * 3)).numpy()[0] == 0
    assert effective_sample_size(tf.zeros([0, 1]))[0] == 0


def test_softmax_along_any_axis():
    logits = np.random.default_rng(0).normal(scale=200.0, size=(4, 5))
    logits[0, 2] = -np.inf
    for axis in (-1, 0):
        expected = np.exp(logits - logits.max(axis, keepdims=True))
        expected /= expected.sum(axis, keepdims=True)
        np.testing.assert_allclose(softmax(tf.constant(logits), axis=axis), expected, rtol=1e-12)
