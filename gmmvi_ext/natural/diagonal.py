"""Scalar and diagonal Gaussians in mean, natural and expectation coordinates.

    natural      theta1 = mu / s^2        theta2 = -1 / (2 s^2)
    expectation  eta1 = mu                eta2 = mu^2 + s^2

The Fisher matrix is F = d eta / d theta, hence F^-1 grad_theta L = grad_eta L: a backward pass that
hands out grad_eta turns plain gradient descent on theta into natural-gradient descent. With
g_S = g_s / (2 s),

    dL/d eta1 = g_mu - 2 mu g_S,        dL/d eta2 = g_S.

Anything else that uses theta directly (a penalty, weight decay, clipping by global norm, the
moments of Adam) would mix two kinds of gradient. All functions are elementwise over any shape.
"""

import tensorflow as tf

from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.natural.custom import check_gradient, with_expectation_gradient
from gmmvi_ext.ranges import checked
from gmmvi_ext.types import TensorLike

__all__ = [
    "expectation_to_mean_std",
    "gaussian_fisher",
    "mean_std_to_expectation",
    "mean_std_to_natural",
    "natural_to_mean_std",
]


@checked
def natural_to_mean_std(
    theta1: TensorLike, theta2: TensorLike, jitter: float = 0.0, *, gradient: str = "expectation"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation of natural parameters, with natural gradients.

    Args:
      theta1: mu / s^2, any shape.
      theta2: -1 / (2 s^2), negative, a shape that broadcasts against `theta1`.
      jitter: added to the precision, so that s^2 <= 1 / jitter.
      gradient: "expectation" for gradients with respect to the expectation parameters, "true" for
        ordinary ones.

    Returns:
      (mu, s), both of the broadcast shape and both from one s^2. `theta2 >= 0` yields NaN for
      both, never a plausible number; steps keep theta2 inside its domain, see `natural_step`.

    Example:
        >>> from gmmvi_ext.natural import natural_to_mean_std
        >>> theta1 = tf.constant(12.0)
        >>> with tf.GradientTape() as tape:
        ...     tape.watch(theta1)
        ...     mean, std = natural_to_mean_std(theta1, tf.constant(-2.0))
        >>> float(mean), float(std)
        (3.0, 0.5)
        >>> float(tape.gradient(mean, theta1))  # with respect to E x, not to theta1
        1.0
    """
    check_gradient(gradient)
    theta1 = tf.convert_to_tensor(theta1)
    theta2 = tf.convert_to_tensor(theta2, dtype=theta1.dtype)
    shape = tf.broadcast_dynamic_shape(tf.shape(theta1), tf.shape(theta2))
    theta1, theta2 = tf.broadcast_to(theta1, shape), tf.broadcast_to(theta2, shape)

    def forward(theta1, theta2):
        # The jitter moves the pole out of the domain: theta2 = jitter / 2 > 0.
        precision = to_dtype(jitter, theta2.dtype) - 2 * theta2
        valid = precision > 0
        inverse = 1 / tf.where(valid, precision, tf.ones_like(precision))
        variance = tf.where(valid, inverse, tf.constant(float("nan"), inverse.dtype))
        return variance * theta1, tf.sqrt(variance)

    def pullback(outputs, upstream):
        (mu, s), (g_mu, g_s) = outputs, upstream
        g_variance = g_s / (2 * s)
        return g_mu - 2 * mu * g_variance, g_variance

    if gradient == "true":
        return forward(theta1, theta2)
    return with_expectation_gradient(forward, pullback)(theta1, theta2)


def mean_std_to_natural(mu: TensorLike, s: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """(theta1, theta2) of mean and standard deviation.

    Example:
        >>> from gmmvi_ext.natural import mean_std_to_natural
        >>> theta1, theta2 = mean_std_to_natural(tf.constant(3.0), tf.constant(0.5))
        >>> float(theta1), float(theta2)
        (12.0, -2.0)
    """
    precision = 1 / tf.square(s)
    return mu * precision, -0.5 * precision


def mean_std_to_expectation(mu: TensorLike, s: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """(eta1, eta2) of mean and standard deviation.

    Example:
        >>> from gmmvi_ext.natural import mean_std_to_expectation
        >>> eta1, eta2 = mean_std_to_expectation(tf.constant(1.0), tf.constant(2.0))
        >>> float(eta1), float(eta2)  # E x, E x^2
        (1.0, 5.0)
    """
    mu = tf.convert_to_tensor(mu)
    return mu, tf.square(mu) + tf.square(s)


def expectation_to_mean_std(eta1: TensorLike, eta2: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation of expectation parameters.

    Example:
        >>> from gmmvi_ext.natural import expectation_to_mean_std
        >>> mean, std = expectation_to_mean_std(tf.constant(1.0), tf.constant(5.0))  # E x, E x^2
        >>> float(mean), float(std)
        (1.0, 2.0)
    """
    eta1 = tf.convert_to_tensor(eta1)
    return eta1, tf.sqrt(eta2 - tf.square(eta1))


def gaussian_fisher(mu: TensorLike, s: TensorLike) -> tf.Tensor:
    """Fisher matrix in natural coordinates, [..., 2, 2]; its determinant is 2 s^6.

    Example:
        >>> from gmmvi_ext.natural import gaussian_fisher
        >>> print(gaussian_fisher(tf.constant(0.0), tf.constant(1.0)).numpy())
        [[1. 0.]
         [0. 2.]]
    """
    mu, variance = tf.convert_to_tensor(mu), tf.square(s)
    cross = 2 * mu * variance
    last = 2 * variance * (variance + 2 * tf.square(mu))
    rows = tf.stack([variance, cross], axis=-1), tf.stack([cross, last], axis=-1)
    return tf.stack(rows, axis=-2)
