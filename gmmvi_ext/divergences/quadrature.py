"""Integrals over the line, with the mass that the range has covered.

A truncated range makes a divergence too large or too small, whichever way the integrand points:
every result says how much probability mass the nodes have seen, next to the value.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["RULES", "Quadrature", "elbo_quadrature", "kl_quadrature", "log_evidence_quadrature"]

RULES = ("trapezoid", "gauss_legendre", "gauss_hermite")


class Quadrature(NamedTuple):
    """An integral against a density.

    Attributes:
      value: the integral, a scalar.
      mass: integral of the density over the same nodes; one if the range covers it.
    """

    value: tf.Tensor
    mass: tf.Tensor


def nodes(rule: str, low, high, num_points: int, dtype) -> tuple[tf.Tensor, tf.Tensor]:
    """Nodes and weights [n] of a rule on [low, high].

    For "gauss_hermite" the two numbers are centre and scale of the Gaussian that the rule is exact
    for, and the weights include its density, so that sum_i w_i f(x_i) / N(x_i) is the integral of
    f.
    """
    if rule not in RULES:
        raise ValueError(f"`rule` must be one of {RULES}, got {rule!r}.")
    low, high = tf.cast(low, dtype), tf.cast(high, dtype)
    if rule == "gauss_hermite":
        t, w = np.polynomial.hermite.hermgauss(num_points)
        # w e^{t^2}: weights for a plain integral over t, computed without overflow.
        plain = np.exp(np.log(w) + t**2)
        return low + high * np.sqrt(2) * tf.constant(t, dtype), high * np.sqrt(2) * tf.constant(
            plain, dtype
        )
    if rule == "gauss_legendre":
        t, w = np.polynomial.legendre.leggauss(num_points)
        half = 0.5 * (high - low)
        return low + half * (1 + tf.constant(t, dtype)), half * tf.constant(w, dtype)
    unit = np.linspace(0.0, 1.0, num_points)
    w = np.full(num_points, 1.0 / (num_points - 1))
    w[[0, -1]] *= 0.5
    return low + (high - low) * tf.constant(unit, dtype), (high - low) * tf.constant(w, dtype)


def kl_quadrature(
    p, q, low, high, num_points: int = 10_000, *, rule: str = "trapezoid"
) -> Quadrature:
    """KL(p || q) of two densities on the line.

    Args:
      p: distribution, or function x [n] -> log density [n].
      q: the same.
      low: lower end (for "gauss_hermite": centre).
      high: upper end (for "gauss_hermite": scale).
      num_points: number of nodes.
      rule: one of `RULES`.

    Returns:
      The divergence, infinite where q vanishes and p does not, and the mass of p that was covered.
    """
    log_p, log_q = _log_density(p), _log_density(q)
    x, w = nodes(rule, low, high, num_points, _dtype(p, q))
    at_p = log_p(x)
    density = tf.exp(at_p)
    # Where p vanishes the integrand is zero, whatever q is.
    gap = tf.where(density > 0, at_p - log_q(x), tf.zeros_like(at_p))
    return Quadrature(tf.reduce_sum(w * density * gap), tf.reduce_sum(w * density))


def elbo_quadrature(
    joint_log_prob, q, low=None, high=None, num_points: int = 500, *, rule: str = "trapezoid"
) -> Quadrature:
    """ELBO of q, the integral of q (log joint - log q), and the mass of q covered.

    Args:
      joint_log_prob: function x [n] -> log p(data, x) [n], or distribution.
      q: distribution on the line.
      low: lower end; four standard deviations below the mean unless given.
      high: upper end.
      num_points: number of nodes.
      rule: one of `RULES`.
    """
    if low is None or high is None:
        low, high = q.mean() - 4 * q.stddev(), q.mean() + 4 * q.stddev()
        if rule == "gauss_hermite":
            low, high = q.mean(), q.stddev()
    negative = kl_quadrature(q, joint_log_prob, low, high, num_points, rule=rule)
    return Quadrature(-negative.value, negative.mass)


def log_evidence_quadrature(
    joint_log_prob: Callable,
    low,
    high,
    num_points: int = 10_000,
    *,
    rule: str = "trapezoid",
    dtype=tf.float64,
) -> tf.Tensor:
    """log of the integral of the joint density over [low, high], a scalar."""
    x, w = nodes(rule, low, high, num_points, dtype)
    return tf.reduce_logsumexp(_log_density(joint_log_prob)(x) + tf.math.log(w))


def _log_density(p) -> Callable:
    return p.log_prob if hasattr(p, "log_prob") else p


def _dtype(*densities) -> tf.DType:
    known = [each.dtype for each in densities if hasattr(each, "log_prob")]
    return known[0] if known else tf.float64
