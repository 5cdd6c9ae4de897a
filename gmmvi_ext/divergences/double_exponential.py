"""Double-exponential quadrature of densities on their support (Takahasi and Mori, 1974).

    finite panel [a, b]    x = a + (b - a) / (1 + exp(-pi sinh t))
    half line              x = b + s exp(pi/2 sinh t)

and the trapezoid rule in t, which converges exponentially, with poles at the ends of the support
and with tails that fall like a power. Panels end at `support.landmarks`, where densities may have
kinks or narrow peaks. What is returned is log(p(x_i) w_i), so that a density that underflows in
the tail still counts against a divergence that grows there.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.divergences import support

__all__ = ["NUM_POINTS", "Nodes", "support_nodes"]

NUM_POINTS = 401  # of each panel; odd, so that every other one is a rule too
SMALLEST = -690.0  # log of the smallest distance from an end, in float64
NEAREST = 1e-30  # of a half line, in units of the scale
FARTHEST_FLOAT64, FARTHEST_FLOAT32 = 1e100, 1e15  # squares of x stay finite


class Nodes(NamedTuple):
    """Nodes of a density on the line.

    Attributes:
      x: points in the dtype of the density, [n, *batch].
      log_mass: log(p(x_i) w_i), float64, [n, *batch].
      coarse: log of twice or no weight, the rule with every other node, float64 [n].
      tails: indices of the nodes of the first and of the last panel, outermost node first.
    """

    x: tf.Tensor
    log_mass: tf.Tensor
    coarse: np.ndarray
    tails: tuple[np.ndarray, np.ndarray]


def support_nodes(p, *others) -> Nodes:
    """Nodes for integrals against the density of `p`.

    Args:
      p: distribution on the line.
      *others: distributions or functions whose kinks end panels too.
    """
    low, high = support.ends(p)
    shape = tf.shape(low)
    landmarks = [support.landmarks(p)]
    for other in others:
        points = support.centers(other)
        if points is not None:
            landmarks.append(points)
            shape = tf.broadcast_dynamic_shape(shape, tf.shape(points)[1:])
    low, high = (tf.cast(tf.broadcast_to(each, shape), tf.float64) for each in (low, high))
    each = [points.shape[0] for points in landmarks]
    breaks = [_batched(points, shape) for points in landmarks]
    breaks = [tf.where(tf.math.is_finite(points), points, breaks[0][0]) for points in breaks]
    median = tf.sort(breaks[0], axis=0)[each[0] // 2]
    breaks = tf.sort(tf.clip_by_value(tf.concat(breaks, axis=0), low, high), axis=0)
    x, log_w = _panels(breaks, median, low, high, p.dtype)
    count = sum(each) + 1
    x = tf.cast(x, p.dtype)
    # Rounding may have put nodes on an end, where densities have poles and logarithms are infinite.
    inside = (x > tf.cast(low, p.dtype)) & (x < tf.cast(high, p.dtype))
    middle = tf.cast(tf.broadcast_to(median, tf.shape(x)), p.dtype)
    x = tf.where(inside, x, middle)
    log_p = tf.cast(support.log_density(p)(x), tf.float64)
    counts = inside & tf.math.is_finite(log_p)
    log_mass = tf.where(counts, log_p + log_w, tf.constant(-np.inf, tf.float64))
    coarse = np.tile(np.where(np.arange(NUM_POINTS) % 2, -np.inf, np.log(2.0)), count)
    first = np.arange(NUM_POINTS)
    return Nodes(x, log_mass, coarse, (first, count * NUM_POINTS - 1 - first))


def _batched(points, shape):
    """[n, *batch] with the full batch shape, in float64."""
    num, rank = points.shape[0], shape.shape[0]
    lifted = tf.concat([[num], tf.ones([rank + 1 - points.shape.rank], tf.int32)], axis=0)
    points = tf.reshape(tf.cast(points, tf.float64), tf.concat([lifted, tf.shape(points)[1:]], 0))
    return tf.broadcast_to(points, tf.concat([[num], shape], axis=0))


def _panels(breaks, median, low, high, dtype):
    """Points and log weights [n, *batch], panel after panel."""
    left = _outer(breaks[0], low, median - breaks[0], -1.0, dtype)
    right = _outer(breaks[-1], high, breaks[-1] - median, 1.0, dtype)
    between = _finite(breaks[:-1], breaks[1:])
    parts = [left, between, right]
    rest = tf.shape(breaks)[1:]
    x, log_w = (
        tf.concat([tf.reshape(part[i], tf.concat([[-1], rest], 0)) for part in parts], axis=0)
        for i in (0, 1)
    )
    return x, log_w


def _finite(a, b):
    """Nodes [panels, n, *batch] of [a, b], each [panels, *batch]."""
    t = np.linspace(-1.0, 1.0, NUM_POINTS) * np.arcsinh(-SMALLEST / np.pi)
    z = np.pi * np.sinh(t)
    log_u, log_v = -np.logaddexp(0.0, -z), -np.logaddexp(0.0, z)
    log_slope = np.log((t[1] - t[0]) * np.pi * np.cosh(t)) + log_u + log_v
    a, b = a[:, tf.newaxis], b[:, tf.newaxis]
    u, v, log_slope, right = (
        _lifted(each, a.shape.rank) for each in (np.exp(log_u), np.exp(log_v), log_slope, t > 0)
    )
    width = b - a
    # From the nearer end, so that distances from it keep their digits.
    x = tf.where(right, b - width * v, a + width * u)
    return x, tf.math.log(width) + log_slope


def _outer(start, end, scale, sign, dtype):
    """Nodes [1, n, *batch] from `start` outward to `end`, finite or not."""
    bounded = tf.math.is_finite(end)
    pair = (end, start) if sign < 0 else (start, end)
    fallback = tf.where(bounded, end, start)
    ends = [tf.where(bounded, each, fallback)[tf.newaxis] for each in pair]
    x_finite, w_finite = _finite(*ends)
    x_tail, w_tail = _half_line(start[tf.newaxis], scale[tf.newaxis], sign, dtype)
    choose = bounded[tf.newaxis, tf.newaxis]
    return tf.where(choose, x_finite, x_tail), tf.where(choose, w_finite, w_tail)


def _half_line(start, scale, sign, dtype):
    farthest = FARTHEST_FLOAT64 if dtype == tf.float64 else FARTHEST_FLOAT32
    steps = np.arcsinh(np.log([NEAREST, farthest]) * 2 / np.pi)
    t = np.linspace(*steps, NUM_POINTS)
    z = 0.5 * np.pi * np.sinh(t)
    log_slope = np.log((t[1] - t[0]) * 0.5 * np.pi * np.cosh(t)) + z
    if sign < 0:  # outermost first, like all panels ascending
        z, log_slope = z[::-1].copy(), log_slope[::-1].copy()
    start, scale = start[:, tf.newaxis], scale[:, tf.newaxis]
    scale = tf.where(scale > 0, scale, tf.maximum(tf.abs(start), 1.0) * 1e-3)
    distance, log_slope = (_lifted(each, start.shape.rank) for each in (np.exp(z), log_slope))
    return start + sign * scale * distance, tf.math.log(scale) + log_slope


def _lifted(values: np.ndarray, rank: int) -> tf.Tensor:
    """[n] -> [1, n, 1, ...] of the given rank."""
    return tf.constant(values.reshape([1, -1] + [1] * (rank - 2)))
