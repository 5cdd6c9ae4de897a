"""Constraints on the last axis: simplex, ordered, positive ordered, unit vector.

    simplex           y = softmax([x, 0])                       R^(n-1) -> n entries that sum to one
    ordered           y_i = y_(i-1) + softplus(x_i), or + exp   R^n -> ascending
    positive_ordered  y = cumsum(softplus(x))                   R^n -> 0 < ascending
    unit_vector       y = (2 x, |x|^2 - 1) / (|x|^2 + 1)        R^(n-1) -> sphere in R^n, one-to-one

The log-determinant of the simplex is taken in its first n-1 coordinates (the measure of TFP's
Dirichlet density), that of the sphere in surface measure. x = 0 maps to the uniform simplex point
and to the pole (0, ..., -1); the opposite pole is the one point that is not reached.

At the limits of the format values are held inside: an increment that would be lost to rounding
becomes a few units of resolution, increments of exp stop where their sum would overflow, and the
last entry of a unit vector stays below one. Log-determinants are computed from x and stay exact.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.base import (
    ConstraintBijector,
    distance_with_digits,
    finfo,
    resolution,
    strictly_below,
)
from gmmvi_ext.constraints.scalar import BASES, largest_exponent

__all__ = ["Ordered", "Simplex", "UnitVector"]


class _DropsOne(ConstraintBijector):
    """A bijector from n-1 to n numbers on the last axis."""

    def _forward_event_shape(self, shape):
        return shape[:-1].concatenate(None if shape[-1] is None else shape[-1] + 1)

    def _inverse_event_shape(self, shape):
        if shape.rank == 0 or (shape[-1] is not None and shape[-1] < 2):
            raise ValueError(
                f"`{self.name}` needs a last axis of at least 2 entries, got shape {shape}."
            )
        return shape[:-1].concatenate(None if shape[-1] is None else shape[-1] - 1)

    def _forward_event_shape_tensor(self, shape):
        return tf.concat([shape[:-1], shape[-1:] + 1], axis=0)

    def _inverse_event_shape_tensor(self, shape):
        return tf.concat([shape[:-1], shape[-1:] - 1], axis=0)


class Simplex(_DropsOne):
    """Positive entries that sum to one."""

    def __init__(self):
        super().__init__("simplex", {}, forward_min_event_ndims=1)

    @property
    def support(self) -> str:
        return "positive entries that sum to one along the last axis"

    def contains(self, value: np.ndarray) -> np.ndarray:
        tolerance = 10 * value.shape[-1] * resolution(value.dtype)
        sums = np.abs(value.sum(axis=-1, keepdims=True) - 1) <= max(tolerance, 1e-6)
        return np.isfinite(value) & (value > 0) & sums

    def held(self, x: tf.Tensor) -> tf.Tensor:
        log_y = tf.nn.log_softmax(_append_zero(x))
        least = float(np.log(distance_with_digits(0.0, x.dtype)))
        inner = tf.maximum(log_y, least)
        # The others stay exactly as they are: what differs by a rounding would count as beyond.
        is_beyond = (log_y[..., :-1] < least) | (log_y[..., -1:] < least)
        return tf.where(is_beyond, inner[..., :-1] - inner[..., -1:], x)

    def _forward(self, x):
        # Entries that underflow stay positive, so that their log is finite.
        return tf.maximum(tf.nn.softmax(_append_zero(x)), float(finfo(x.dtype).tiny))

    def _inverse(self, y):
        log_y = tf.math.log(y)
        return log_y[..., :-1] - log_y[..., -1:]

    def _forward_log_det_jacobian(self, x):
        return tf.reduce_sum(tf.nn.log_softmax(_append_zero(x)), axis=-1)


class Ordered(ConstraintBijector):
    """Ascending entries; with `positive` also above zero.

    Increments below the resolution of the values become that resolution.

    Args:
      positive: also above zero.
      base: increments are "softplus" or "exp" of the unconstrained numbers.
    """

    def __init__(self, *, positive: bool = False, base: str = "softplus"):
        name = "positive_ordered" if positive else "ordered"
        if base not in BASES:
            raise ValueError(f"`base` of `{name}` must be one of {BASES}, got {base!r}.")
        self._positive = bool(positive)
        self._base = base
        arguments = {} if base == "softplus" else {"base": base}
        super().__init__(name, arguments, forward_min_event_ndims=1)

    @property
    def support(self) -> str:
        positive = "positive, " if self._positive else ""
        return f"{positive}strictly ascending entries along the last axis"

    def contains(self, value: np.ndarray) -> np.ndarray:
        head = value[..., :1] > 0 if self._positive else np.ones_like(value[..., :1], bool)
        rising = np.concatenate([head, np.diff(value, axis=-1) > 0], axis=-1)
        return np.isfinite(value) & rising

    def _increments(self, x):
        if self._positive:
            return self._step(x)
        return tf.concat([x[..., :1], self._step(x[..., 1:])], axis=-1)

    def _step(self, x):
        if self._base == "softplus":
            return tf.math.softplus(x)
        ceiling = largest_exponent(x.dtype, x.shape[-1] or 1_000_000)
        return tf.exp(tf.minimum(x, tf.constant(ceiling, x.dtype)))

    def _step_inverse(self, y):
        return tfp.math.softplus_inverse(y) if self._base == "softplus" else tf.math.log(y)

    def _inverse_event_shape(self, shape):
        if shape.rank == 0:
            raise ValueError(f"`{self.name}` needs a last axis, got a scalar.")
        return shape

    def _forward(self, x):
        increments = self._increments(x)
        rough = tf.abs(tf.math.cumsum(increments, axis=-1))
        size = tf.maximum(rough[..., :-1], rough[..., 1:])
        smallest = 4 * resolution(x.dtype) * size + 4 * float(finfo(x.dtype).tiny)
        rises = tf.maximum(increments[..., 1:], smallest)
        head = increments[..., :1]
        if self._positive:
            head = tf.maximum(head, float(finfo(x.dtype).tiny))
        return tf.math.cumsum(tf.concat([head, rises], axis=-1), axis=-1)

    def _inverse(self, y):
        rises = self._step_inverse(y[..., 1:] - y[..., :-1])
        head = self._step_inverse(y[..., :1]) if self._positive else y[..., :1]
        return tf.concat([head, rises], axis=-1)

    def _forward_log_det_jacobian(self, x):
        rises = x if self._positive else x[..., 1:]
        each = -tf.math.softplus(-rises) if self._base == "softplus" else rises
        return tf.reduce_sum(each, axis=-1)


class UnitVector(_DropsOne):
    """Vectors of length one, by stereographic projection."""

    def __init__(self):
        super().__init__("unit_vector", {}, forward_min_event_ndims=1)

    @property
    def support(self) -> str:
        return "vectors of length one along the last axis, other than (0, ..., 0, 1)"

    def contains(self, value: np.ndarray) -> np.ndarray:
        tolerance = max(10 * value.shape[-1] * resolution(value.dtype), 1e-6)
        unit = np.abs(np.linalg.norm(value, axis=-1, keepdims=True) - 1) <= tolerance
        return np.isfinite(value) & unit & (value[..., -1:] < 1)

    def _forward(self, x):
        scale = _scale(x)
        length = scale * tf.norm(_with_one(x, scale), axis=-1, keepdims=True)
        unit, cosine = x / length, 1 / length
        rest = tf.reduce_sum(unit * unit, axis=-1, keepdims=True)
        last = tf.minimum(rest - cosine * cosine, strictly_below(1.0, x.dtype))
        return tf.concat([2 * unit * cosine, last], axis=-1)

    def _inverse(self, y):
        head, last = y[..., :-1], y[..., -1:]
        # 1 - last loses its digits near the far pole; |head|^2 / (1 + last) is the same number.
        upper = last > 0
        largest = tf.reduce_max(tf.abs(head), axis=-1, keepdims=True)
        largest = tf.where(upper, tf.maximum(largest, float(finfo(y.dtype).tiny)), 1.0)
        part = head / largest
        square = tf.reduce_sum(part * part, axis=-1, keepdims=True)
        safe = tf.where(upper & (square > 0), square, tf.ones_like(square))
        return tf.where(upper, part / safe * ((1 + last) / largest), head / (1 - last))

    def _forward_log_det_jacobian(self, x):
        count = tf.cast(tf.shape(x)[-1], x.dtype)
        two = tf.constant(2, x.dtype)
        return count * (tf.math.log(two) - 2 * log_length_with_one(x))


def log_length_with_one(x: tf.Tensor) -> tf.Tensor:
    """log sqrt(1 + |x|^2) over the last axis; |x|^2 may overflow."""
    scale = _scale(x)
    small = 1 / scale
    square = tf.reduce_sum(tf.square(x / scale), axis=-1) + tf.square(small[..., 0]) - 1
    return tf.math.log(scale[..., 0]) + 0.5 * tf.math.log1p(square)


def _scale(x):
    """max(1, |x_i|) over the last axis, kept; no gradient, for results do not depend on it."""
    largest = tf.reduce_max(tf.abs(tf.stop_gradient(x)), axis=-1, keepdims=True)
    return tf.maximum(largest, tf.ones_like(largest))


def _with_one(x, scale):
    """[x, 1] / scale."""
    return tf.concat([x / scale, 1 / scale], axis=-1)


def _append_zero(x):
    return tf.concat([x, tf.zeros_like(x[..., :1])], axis=-1)
