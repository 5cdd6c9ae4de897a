"""Integrals over the line, with the mass that the range has covered.

A truncated range makes a divergence too large or too small, whichever way the integrand points:
every result says how much probability mass the nodes have seen, next to the value.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.divergences.support import log_density, require_distribution
from gmmvi_ext.math.casting import floating_dtype, to_dtype
from gmmvi_ext.ranges import require_count, require_function
from gmmvi_ext.types import DensityLike, Distribution, DTypeLike, TensorLike

__all__ = [
    "RULES",
    "Quadrature",
    "elbo_quadrature",
    "integrate",
    "kl_quadrature",
    "log_evidence_quadrature",
    "require_both_or_neither",
]

RULES = ("trapezoid", "gauss_legendre", "gauss_hermite")


class Quadrature(NamedTuple):
    """An integral against a density.

    Attributes:
      value: the integral, a scalar.
      mass: integral of the density over the same nodes; one if the range covers it.
      error: bound of the error of `value`, or None where the range was given: then `mass` tells.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import elbo_quadrature
        >>> normal = tfp.distributions.Normal(np.float64(0.0), np.float64(1.0))
        >>> result = elbo_quadrature(lambda x: normal.log_prob(x) + 2.0, normal)  # log evidence 2
        >>> round(float(result.value), 3), round(float(result.mass), 3)
        (2.0, 1.0)
    """

    value: tf.Tensor
    mass: tf.Tensor
    error: tf.Tensor | None = None


def nodes(rule: str, low, high, num_points: int, dtype) -> tuple[tf.Tensor, tf.Tensor]:
    """Nodes and weights [n, *batch] of a rule on [low, high], scalars or batches.

    For "gauss_hermite" the two numbers are center and scale of the Gaussian that the rule is exact
    for, and the weights include its density, so that sum_i w_i f(x_i) / N(x_i) is the integral of
    f.
    """
    if rule not in RULES:
        raise ValueError(f"`rule` must be one of {RULES}, got {rule!r}.")
    require_count("num_points", num_points, at_least=2)
    dtype = floating_dtype(dtype)
    low, high = to_dtype(low, dtype, "`low`"), to_dtype(high, dtype, "`high`")
    if rule == "gauss_hermite":
        t, w = np.polynomial.hermite.hermgauss(num_points)
        # w e^{t^2}: weights for a plain integral over t, computed without overflow. Beyond 360
        # nodes the outermost w underflow to zero, where a density has no mass in float64 either.
        with np.errstate(divide="ignore"):
            w = np.exp(np.log(w) + t**2)
        start, width = low, high * np.sqrt(2)
    elif rule == "gauss_legendre":
        t, w = np.polynomial.legendre.leggauss(num_points)
        t = 1 + t
        start, width = low, 0.5 * (high - low)
    else:
        t = np.linspace(0.0, 1.0, num_points)
        w = np.full(num_points, 1.0 / (num_points - 1))
        w[[0, -1]] *= 0.5
        start, width = low, high - low
    lifted = [-1] + [1] * width.shape.rank
    t, w = (tf.constant(each.reshape(lifted), dtype) for each in (t, w))
    return start + width * t, width * w


def integrate(
    function: Callable,
    low: TensorLike,
    high: TensorLike,
    num_points: int = 10_000,
    *,
    rule: str = "trapezoid",
    dtype: DTypeLike = tf.float64,
) -> tf.Tensor:
    """Integral of `function`, x [n] -> values [n], over [low, high], a scalar.

    Example:
        >>> from gmmvi_ext.divergences import integrate
        >>> round(float(integrate(tf.sin, 0.0, np.pi)), 6)
        2.0
    """
    require_function("function", function, "points [n]")
    x, w = nodes(rule, low, high, num_points, dtype)
    return tf.reduce_sum(w * function(x))


def kl_quadrature(
    p: DensityLike,
    q: DensityLike,
    low: TensorLike,
    high: TensorLike,
    num_points: int = 10_000,
    *,
    rule: str = "trapezoid",
) -> Quadrature:
    """KL(p || q) of two densities on the line.

    Args:
      p: distribution, or function x [n] -> log density [n].
      q: the same.
      low: lower end (for "gauss_hermite": center).
      high: upper end (for "gauss_hermite": scale).
      num_points: number of nodes.
      rule: one of `RULES`.

    Returns:
      The divergence, infinite where q vanishes and p does not, and the mass of p that was covered.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import kl_quadrature
        >>> p = tfp.distributions.Normal(np.float64(0.0), np.float64(1.0))
        >>> q = tfp.distributions.Normal(np.float64(0.0), np.float64(2.0))
        >>> result = kl_quadrature(p, q, -10.0, 10.0)
        >>> round(float(result.value - (np.log(2.0) - 3.0 / 8.0)), 6)
        0.0
    """
    dtype = _dtype(p, q)
    log_p, log_q = log_density(p, dtype), log_density(q, dtype)
    x, w = nodes(rule, low, high, num_points, dtype)
    for _ in range(_batch_rank(p, q) + 1 - x.shape.rank):
        x, w = tf.expand_dims(x, 1), tf.expand_dims(w, 1)
    at_p = log_p(x)
    # Poles of p that a node happens to hit have no mass.
    density = tf.where(tf.math.is_finite(at_p), tf.exp(at_p), tf.zeros_like(at_p))
    # Where p vanishes the integrand is zero, whatever q is.
    gap = tf.where(density > 0, at_p - log_q(x), tf.zeros_like(at_p))
    return Quadrature(tf.reduce_sum(w * density * gap, axis=0), tf.reduce_sum(w * density, axis=0))


def elbo_quadrature(
    joint_log_prob: DensityLike,
    q: Distribution,
    low: TensorLike | None = None,
    high: TensorLike | None = None,
    num_points: int = 500,
    *,
    rule: str = "trapezoid",
) -> Quadrature:
    """ELBO of q, the integral of q (log joint - log q), and the mass of q covered.

    Args:
      joint_log_prob: function x [n] -> log p(data, x) [n], or distribution.
      q: distribution on the line.
      low: lower end; four standard deviations below the mean unless given.
      high: upper end.
      num_points: number of nodes.
      rule: one of `RULES`.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import elbo_quadrature
        >>> normal = tfp.distributions.Normal(np.float64(0.0), np.float64(1.0))
        >>> shifted = tfp.distributions.Normal(np.float64(1.0), np.float64(1.0))
        >>> result = elbo_quadrature(normal, shifted, low=-9.0, high=9.0)
        >>> round(float(result.value), 3)  # minus the divergence
        -0.5
    """
    require_distribution("q", q)
    require_both_or_neither(low, high)
    if low is None:
        low, high = q.mean() - 4 * q.stddev(), q.mean() + 4 * q.stddev()
        if rule == "gauss_hermite":
            low, high = q.mean(), q.stddev()
    negative = kl_quadrature(q, joint_log_prob, low, high, num_points, rule=rule)
    return Quadrature(-negative.value, negative.mass)


def require_both_or_neither(low, high) -> None:
    """ValueError where one end of a range is given alone."""
    if (low is None) != (high is None):
        missing, given = ("low", "high") if low is None else ("high", "low")
        raise ValueError(f"`{given}` is given without `{missing}`: give both ends, or neither.")


def log_evidence_quadrature(
    joint_log_prob: Callable,
    low: TensorLike,
    high: TensorLike,
    num_points: int = 10_000,
    *,
    rule: str = "trapezoid",
    dtype: DTypeLike = tf.float64,
) -> tf.Tensor:
    """log of the integral of the joint density over [low, high], a scalar.

    Example:
        >>> from gmmvi_ext.divergences import log_evidence_quadrature
        >>> heads = lambda p: 7.0 * tf.math.log(p) + 3.0 * tf.math.log1p(-p)  # 7 of 10
        >>> result = log_evidence_quadrature(heads, 1e-9, 1.0 - 1e-9)
        >>> round(float(tf.exp(-result)), 2)  # one over the beta function B(8, 4)
        1320.0
    """
    x, w = nodes(rule, low, high, num_points, dtype)
    return tf.reduce_logsumexp(log_density(joint_log_prob)(x) + tf.math.log(w))


def _dtype(*densities) -> tf.DType:
    known = [each.dtype for each in densities if hasattr(each, "log_prob")]
    return known[0] if known else tf.float64


def _batch_rank(*densities) -> int:
    known = [each.batch_shape.rank for each in densities if hasattr(each, "log_prob")]
    return max(known, default=0)
