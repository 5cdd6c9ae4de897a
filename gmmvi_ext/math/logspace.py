"""Weights in log space: normalization with a floor, KL divergence, effective sample sizes."""

import tensorflow as tf

from gmmvi_ext.math.casting import to_dtype

__all__ = [
    "LOG_WEIGHT_FLOOR",
    "effective_sample_size",
    "normalize_log_weights",
    "softmax",
    "weight_kl",
]

LOG_WEIGHT_FLOOR = -69.07  # log(1e-30): keeps the KL of a dying component finite


def normalize_log_weights(log_weights: tf.Tensor, floor: float = LOG_WEIGHT_FLOOR) -> tf.Tensor:
    """Log of the normalized weights [K], kept from falling far below `floor`."""
    normalized = tf.nn.log_softmax(log_weights)
    return tf.nn.log_softmax(tf.maximum(normalized, to_dtype(floor, log_weights.dtype)))


def effective_sample_size(log_weights: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """(sum w)^2 / sum w^2 of unnormalized log weights along `axis`; 0 where there are none."""
    finite = tf.math.is_finite(log_weights)
    safe = tf.where(finite, log_weights, tf.cast(-1e30, log_weights.dtype))
    top = tf.reduce_max(safe, axis=axis, keepdims=True)
    weights = tf.where(finite, tf.exp(safe - top), tf.zeros_like(safe))
    total = tf.reduce_sum(weights, axis=axis)
    squares = tf.reduce_sum(tf.square(weights), axis=axis)
    return tf.math.divide_no_nan(tf.square(total), squares)


def softmax(logits: tf.Tensor, axis: int = -1) -> tf.Tensor:
    """exp(logits) / sum exp(logits) along `axis`; at least one logit must be finite.

    For small arrays: `tf.nn.softmax` costs 0.1 ms through oneDNN on CPU, and transposes for every
    axis but the last.
    """
    ratios = tf.exp(logits - tf.reduce_max(logits, axis=axis, keepdims=True))
    return ratios / tf.reduce_sum(ratios, axis=axis, keepdims=True)


def weight_kl(log_weights: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """KL of categorical distributions with log weights [..., K]; terms of weight 0 count as 0."""
    return tf.reduce_sum(
        tf.math.multiply_no_nan(log_weights - others, tf.exp(log_weights)), axis=-1
    )
