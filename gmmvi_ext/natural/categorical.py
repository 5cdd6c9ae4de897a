"""Categorical weights: logits theta, expectation parameters p = softmax(theta).

The Fisher matrix diag(p) - p p^T is singular along the constant direction; the natural gradient is
grad_p up to an additive constant, which is fixed here by a mean of zero. One step of size one on
sum_k p_k f_k - sum_k p_k log p_k lands on softmax(f).
"""

import tensorflow as tf

from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.natural.custom import check_gradient, with_expectation_gradient
from gmmvi_ext.types import TensorLike

__all__ = ["natural_to_log_weights"]

WEIGHT_FLOOR = 1e-30  # keeps the gradient of a dying component finite; above float32's tiny


def natural_to_log_weights(logits: TensorLike, *, gradient: str = "expectation") -> tf.Tensor:
    """log softmax of `logits` [..., K], whose gradient is the centered one with respect to p.

    Example:
        >>> from gmmvi_ext.natural import natural_to_log_weights
        >>> logits = tf.math.log([2.0, 6.0])
        >>> print(tf.exp(natural_to_log_weights(logits)).numpy().round(3))
        [0.25 0.75]
    """
    check_gradient(gradient)
    logits = tf.convert_to_tensor(logits)
    if gradient == "true":
        return tf.nn.log_softmax(logits)

    def pullback(outputs, upstream):
        weights = tf.maximum(tf.exp(outputs), to_dtype(WEIGHT_FLOOR, logits.dtype))
        gradient = upstream[0] / weights
        return gradient - tf.reduce_mean(gradient, axis=-1, keepdims=True)

    return with_expectation_gradient(tf.nn.log_softmax, pullback)(logits)
