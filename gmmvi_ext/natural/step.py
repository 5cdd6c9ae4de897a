"""One natural-gradient step that stays inside the domain of the natural parameters.

    theta <- theta - rho grad_eta L                       (L is minimized, L = -ELBO)

A loss that is a mean over N data takes rho times N. If L(theta) = KL(q_theta || p_theta*), then
grad_eta L = theta - theta*, and rho = 1 lands on theta* from anywhere. With P the precision, a raw
step gives P + rho G, G = 2 grad_eta2 L, which may leave the positive cone. Retractions:

    none      the raw step
    backoff   halve rho, element by element, until the new precision is positive definite
    ibayes    P + rho G + rho^2/2 G P^-1 G = [(P + rho G) P^-1 (P + rho G) + P] / 2, always positive
              definite (Lin, Schmidt and Khan, 2020); differs from the raw step at second order, so
              the one-step property is lost
"""

import tensorflow as tf

from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.linalg import safe_cholesky
from gmmvi_ext.ranges import checked

__all__ = ["DOMAINS", "RETRACTIONS", "natural_step"]

RETRACTIONS = ("none", "backoff", "ibayes")
DOMAINS = ("diagonal", "full", "categorical")
MAX_HALVINGS = 30
PRECISION_TINY = 1e-37  # a normal number in float32


@checked
def natural_step(
    theta: tuple,
    grads: tuple,
    rho: float | tf.Tensor,
    *,
    retraction: str = "backoff",
    domain: str = "diagonal",
    precision_floor: float = 0.0,
    min_var: float | None = None,
    max_var: float | None = None,
) -> tuple[tf.Tensor, ...]:
    """New natural parameters.

    Args:
      theta: (theta1, theta2) elementwise, (theta1 [..., D], Theta2 [..., D, D]), or (logits,).
      grads: gradients with respect to the expectation parameters, shapes as `theta`.
      rho: stepsize, a scalar or one for each element.
      retraction: one of `RETRACTIONS`.
      domain: one of `DOMAINS`.
      precision_floor: smallest precision that "backoff" accepts (diagonal domain).
      min_var: floor of the variance, mean kept (diagonal domain).
      max_var: ceiling of the variance, mean kept (diagonal domain).

    Returns:
      Tuple like `theta`. Elements for which no halving helps keep their old parameters.

    Example:
        >>> from gmmvi_ext.natural import natural_step, natural_to_mean_std
        >>> theta = (tf.constant([0.0]), tf.constant([-0.5]))  # N(0, 1)
        >>> gradient = (tf.constant([-3.0]), tf.constant([0.0]))  # pulls the mean up
        >>> mean, std = natural_to_mean_std(*natural_step(theta, gradient, rho=0.5))
        >>> print(mean.numpy(), std.numpy())
        [1.5] [1.]
    """
    if retraction not in RETRACTIONS:
        raise ValueError(f"`retraction` must be one of {RETRACTIONS}, got {retraction!r}.")
    if domain not in DOMAINS:
        raise ValueError(f"`domain` must be one of {DOMAINS}, got {domain!r}.")
    theta = tuple(map(tf.convert_to_tensor, theta))
    grads = tuple(map(tf.convert_to_tensor, grads))
    rho = to_dtype(rho, theta[0].dtype)
    if domain == "categorical":
        return (theta[0] - rho * grads[0],)
    if domain == "full":
        if min_var is not None or max_var is not None:
            raise ValueError("`min_var` and `max_var` need `domain='diagonal'`, got 'full'.")
        return _full_step(theta, grads, rho, retraction)
    new = _diagonal_step(theta, grads, rho, retraction, precision_floor)
    return _clipped(new, min_var, max_var)


def _diagonal_step(theta, grads, rho, retraction, floor):
    if retraction == "ibayes":
        precision = -2 * theta[1]
        mean = theta[0] / precision
        change = 2 * rho * grads[1]
        new = precision + change + 0.5 * tf.square(change) / precision
        # The gradient at fixed S: g_mu = g_eta1 + 2 mu g_eta2.
        new_mean = mean - rho * (grads[0] + 2 * mean * grads[1]) / precision
        return new * new_mean, -0.5 * new
    if retraction == "none":
        tf.debugging.assert_less(
            theta[1] - rho * grads[1],
            tf.zeros([], theta[1].dtype),
            "a natural step left the domain theta2 < 0; use retraction='backoff' or a smaller rho",
        )
        return theta[0] - rho * grads[0], theta[1] - rho * grads[1]

    def inside(rate):
        first, second = theta[0] - rate * grads[0], theta[1] - rate * grads[1]
        wanted = to_dtype(max(floor, PRECISION_TINY), second.dtype)
        return tf.math.is_finite(first) & tf.math.is_finite(second) & (-2 * second >= wanted)

    rate = _backed_off(inside, tf.broadcast_to(rho, tf.shape(theta[1])))
    return tuple(tf.where(rate > 0, t - rate * g, t) for t, g in zip(theta, grads, strict=True))


def _full_step(theta, grads, rho, retraction):
    theta1, Theta2 = theta
    g1, g2 = grads[0], 0.5 * (grads[1] + tf.linalg.matrix_transpose(grads[1]))
    if retraction == "ibayes":
        precision, change = -2 * Theta2, 2 * rho * g2
        factor = tf.linalg.cholesky(precision)
        mean = tf.linalg.cholesky_solve(factor, theta1[..., tf.newaxis])[..., 0]
        half = tf.linalg.triangular_solve(factor, change)
        new = precision + change + 0.5 * tf.matmul(half, half, transpose_a=True)
        g_mu = g1 + 2 * tf.linalg.matvec(g2, mean)
        shift = tf.linalg.cholesky_solve(factor, g_mu[..., tf.newaxis])[..., 0]
        return tf.linalg.matvec(new, mean - rho * shift), -0.5 * new
    if retraction == "none":
        return theta1 - rho * g1, Theta2 - rho * g2

    def inside(rate):
        _, ok = safe_cholesky(-2 * (Theta2 - rate[..., tf.newaxis, tf.newaxis] * g2))
        return ok & tf.reduce_all(tf.math.is_finite(g1), axis=-1)

    rate = _backed_off(inside, tf.broadcast_to(rho, tf.shape(theta1)[:-1]))
    vector, matrix = rate[..., tf.newaxis], rate[..., tf.newaxis, tf.newaxis]
    new1 = tf.where(vector > 0, theta1 - vector * g1, theta1)
    new2 = tf.where(matrix > 0, Theta2 - matrix * g2, Theta2)
    return new1, 0.5 * (new2 + tf.linalg.matrix_transpose(new2))


def _backed_off(inside, rate):
    """Each element's rate, halved until `inside`; zero where `MAX_HALVINGS` do not suffice."""

    def halve(rate, good):
        rate = tf.where(good, rate, 0.5 * rate)
        return rate, inside(rate)

    rate, good = tf.while_loop(
        lambda rate, good: tf.logical_not(tf.reduce_all(good)),
        halve,
        (rate, inside(rate)),
        maximum_iterations=MAX_HALVINGS,
    )
    return tf.where(good, rate, tf.zeros_like(rate))


def _clipped(theta, min_var, max_var):
    if min_var is None and max_var is None:
        return theta
    variance = -0.5 / theta[1]
    mean = variance * theta[0]
    if min_var is not None:
        variance = tf.maximum(variance, to_dtype(min_var, variance.dtype))
    if max_var is not None:
        variance = tf.minimum(variance, to_dtype(max_var, variance.dtype))
    return mean / variance, -0.5 / variance
