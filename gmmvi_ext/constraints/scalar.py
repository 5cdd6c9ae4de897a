"""Elementwise constraints: positive, bounded on one side, bounded on both.

    positive   y = lower + softplus(x)        log y'(x) = -softplus(-x)
               y = lower + exp(x)             log y'(x) = x
    interval   y = low + (high - low) s(x)    log y'(x) = log(high - low) - softplus(x) -
    softplus(-x)

with s the logistic function. Far out, rounding would put y exactly on the bound (float32: softplus
at x < -87, the interval at |x| > 17), where log densities are infinite and the inverse is not
finite. `forward` therefore stops at the nearest representable number inside the support; the
log-determinant is computed from x and stays exact. There the gradient of y is zero. A density of y
loses what it has beyond; targets continue theirs from `held(x)` (`constraints.edges`).
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.base import (
    ConstraintBijector,
    as_bound,
    distance_with_digits,
    strictly_above,
    strictly_below,
)

__all__ = ["BASES", "Interval", "LessThan", "Positive", "largest_exponent"]

BASES = ("softplus", "exp")
MARGIN = 1e-3  # how far `nearest` goes inside, in units of one or of the width


def largest_exponent(dtype: tf.DType, num_terms: int = 1) -> float:
    """Where `exp` is held so that a sum of so many terms stays finite."""
    return float(np.log(np.float64(dtype.max))) - 1.0 - float(np.log(num_terms))


class Positive(ConstraintBijector):
    """Values above `lower`.

    Args:
      lower: number, or array that broadcasts against the values.
      base: "softplus" (linear for large values) or "exp" (log scale).
      name: name in configurations, "positive" or "greater_than".
    """

    def __init__(self, lower=0.0, base: str = "softplus", *, name: str = "positive"):
        if base not in BASES:
            raise ValueError(f"`base` of `{name}` must be one of {BASES}, got {base!r}.")
        self._lower = as_bound(lower, "lower", where=name)
        self._base = base
        super().__init__(name, {"lower": self._lower, "base": base})

    @classmethod
    def _is_increasing(cls):
        return True

    @property
    def support(self) -> str:
        return f"finite values > {self._lower}"

    def contains(self, value: np.ndarray) -> np.ndarray:
        return np.isfinite(value) & (value > np.asarray(self._lower, value.dtype))

    def nearest(self, value: tf.Tensor) -> tf.Tensor:
        lower = tf.constant(self._lower, value.dtype)
        inside = tf.maximum(strictly_above(self._lower, value.dtype), lower + MARGIN)
        return tf.where(value > lower, value, inside)

    def held(self, x: tf.Tensor) -> tf.Tensor:
        distance = distance_with_digits(self._lower, x.dtype)
        if self._base == "softplus":
            return tf.maximum(x, tf.constant(np.log(np.expm1(distance)), x.dtype))
        least, most = np.log(distance), largest_exponent(x.dtype)
        return tf.clip_by_value(x, tf.constant(least, x.dtype), tf.constant(most, x.dtype))

    def _forward(self, x):
        if self._base == "softplus":
            distance = tf.math.softplus(x)
        else:
            ceiling = largest_exponent(x.dtype)
            distance = tf.exp(tf.minimum(x, tf.constant(ceiling, x.dtype)))
        lower = tf.constant(self._lower, x.dtype)
        return tf.maximum(lower + distance, strictly_above(self._lower, x.dtype))

    def _inverse(self, y):
        distance = tf.maximum(y - tf.constant(self._lower, y.dtype), y.dtype.as_numpy_dtype(0))
        if self._base == "softplus":
            # TFP's does not know bfloat16.
            wide = tf.float32 if y.dtype == tf.bfloat16 else y.dtype
            return tf.cast(tfp.math.softplus_inverse(tf.cast(distance, wide)), y.dtype)
        return tf.math.log(distance)

    def _forward_log_det_jacobian(self, x):
        return -tf.math.softplus(-x) if self._base == "softplus" else x


class LessThan(ConstraintBijector):
    """Values below `upper`: the mirror image of `Positive`."""

    def __init__(self, upper, base: str = "softplus"):
        if base not in BASES:
            raise ValueError(f"`base` of `less_than` must be one of {BASES}, got {base!r}.")
        self._upper = as_bound(upper, "upper", where="less_than")
        super().__init__("less_than", {"upper": self._upper, "base": base})
        self._mirrored = Positive(-np.asarray(self._upper), base)

    @classmethod
    def _is_increasing(cls):
        return False

    @property
    def support(self) -> str:
        return f"finite values < {self._upper}"

    def contains(self, value: np.ndarray) -> np.ndarray:
        return np.isfinite(value) & (value < np.asarray(self._upper, value.dtype))

    def nearest(self, value: tf.Tensor) -> tf.Tensor:
        return -self._mirrored.nearest(-value)

    def held(self, x: tf.Tensor) -> tf.Tensor:
        return self._mirrored.held(x)

    def _forward(self, x):
        return -self._mirrored._forward(x)

    def _inverse(self, y):
        return self._mirrored._inverse(-y)

    def _forward_log_det_jacobian(self, x):
        return self._mirrored._forward_log_det_jacobian(x)


class Interval(ConstraintBijector):
    """Values strictly between `low` and `high`.

    Args:
      low: number or array.
      high: number or array, above `low` everywhere.
      name: name in configurations, "interval", "box" or "circular".
    """

    def __init__(self, low=0.0, high=1.0, *, name: str = "interval"):
        self._low = as_bound(low, "low", where=name)
        self._high = as_bound(high, "high", where=name)
        if not np.all(np.asarray(self._low) < np.asarray(self._high)):
            raise ValueError(f"`low` of `{name}` must be below `high`, got {low!r} and {high!r}.")
        super().__init__(name, {} if name == "circular" else {"low": self._low, "high": self._high})

    @classmethod
    def _is_increasing(cls):
        return True

    @property
    def support(self) -> str:
        return f"values strictly between {self._low} and {self._high}"

    def contains(self, value: np.ndarray) -> np.ndarray:
        low, high = (np.asarray(each, value.dtype) for each in (self._low, self._high))
        return (value > low) & (value < high)

    def nearest(self, value: tf.Tensor) -> tf.Tensor:
        low, high, width = self._bounds(value.dtype)
        value = tf.where(value > low, value, low + MARGIN * width)
        return tf.where(value < high, value, high - MARGIN * width)

    def _bounds(self, dtype) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        width = np.asarray(self._high) - np.asarray(self._low)
        return tuple(tf.constant(each, dtype) for each in (self._low, self._high, width))

    def held(self, x: tf.Tensor) -> tf.Tensor:
        low, high = np.asarray(self._low), np.asarray(self._high)
        near_low, near_high = (
            np.minimum(distance_with_digits(bound, x.dtype) / (high - low), 0.25)
            for bound in (low, -high)
        )
        least, most = (
            np.log(near_low) - np.log1p(-near_low),
            np.log1p(-near_high) - np.log(near_high),
        )
        return tf.clip_by_value(x, tf.constant(least, x.dtype), tf.constant(most, x.dtype))

    def _forward(self, x):
        low, high, width = self._bounds(x.dtype)
        # From the nearer end, so that both tails keep their digits.
        y = tf.where(x < 0, low + width * tf.sigmoid(x), high - width * tf.sigmoid(-x))
        y = tf.maximum(y, strictly_above(self._low, x.dtype))
        return tf.minimum(y, strictly_below(self._high, x.dtype))

    def _inverse(self, y):
        low, high, _ = self._bounds(y.dtype)
        return tf.math.log(y - low) - tf.math.log(high - y)

    def _forward_log_det_jacobian(self, x):
        _, _, width = self._bounds(x.dtype)
        return tf.math.log(width) - tf.math.softplus(x) - tf.math.softplus(-x)
