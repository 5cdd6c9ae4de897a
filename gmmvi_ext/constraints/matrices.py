"""Constraints on square matrices: triangular, Cholesky factor, positive definite, correlation.

With L the lower factor of n rows, in the coordinates of the free entries,

    positive_definite   S = L L^T     log |dS/dL| = n log 2 + sum_i (n - i) log L_ii     (i =
    0..n-1) correlation         R = L L^T     log |dR/dL| = sum_i (n - 1 - i) log L_ii

The rows of a correlation factor have length one, so its diagonal is not free. TFP's chain of
`CholeskyOuterProduct` and `CorrelationCholesky` counts it as free and is off by
n log 2 + sum_i log L_ii; the log-determinant here is the right one.

At the limits of the format values are held inside: the diagonal of a factor stays above its bound,
entries stop where products would overflow, and if L L^T is close to singular its diagonal is a few
roundings larger than its rows say, so that it has a factor however long they are. Log-determinants
are computed from x and stay exact.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.base import (
    ConstraintBijector,
    as_bound,
    finfo,
    resolution,
    strictly_above,
)
from gmmvi_ext.constraints.vectors import log_length_with_one

__all__ = ["CholeskyFactor", "Correlation", "LowerTriangular", "PositiveDefinite"]


class _SquareMatrix(ConstraintBijector):
    """A bijector from a vector of free entries to an n x n matrix."""

    _has_free_diagonal = True

    def __init__(self, name: str, config: dict):
        super().__init__(name, config, forward_min_event_ndims=1, inverse_min_event_ndims=2)

    def _forward_event_shape(self, shape):
        count = shape[-1]
        if count is None:
            return shape[:-1].concatenate([None, None])
        size = round((np.sqrt(8 * count + 1) - 1) / 2) + (not self._has_free_diagonal)
        if self._num_free(size) != count:
            raise ValueError(f"`{self.name}` cannot fill a square matrix with {count} entries.")
        return shape[:-1].concatenate([size, size])

    def _inverse_event_shape(self, shape):
        if shape.rank is not None and shape.rank < 2:
            raise ValueError(f"`{self.name}` needs square matrices, got shape {shape}.")
        rows, columns = shape[-2], shape[-1]
        if rows is None or columns is None:
            return shape[:-2].concatenate(None)
        if rows != columns:
            raise ValueError(f"`{self.name}` needs square matrices, got shape {shape}.")
        return shape[:-2].concatenate(self._num_free(rows))

    def _num_free(self, size: int) -> int:
        return size * (size + 1) // 2 if self._has_free_diagonal else size * (size - 1) // 2

    def _forward_event_shape_tensor(self, shape):
        root = tf.sqrt(tf.cast(8 * shape[-1] + 1, tf.float64))
        size = tf.cast(tf.round((root - 1) / 2), tf.int32) + int(not self._has_free_diagonal)
        return tf.concat([shape[:-1], [size, size]], axis=0)

    def _inverse_event_shape_tensor(self, shape):
        size = shape[-1]
        sign = 1 if self._has_free_diagonal else -1
        return tf.concat([shape[:-2], [size * (size + sign) // 2]], axis=0)


class LowerTriangular(_SquareMatrix):
    """Lower-triangular matrices with a free diagonal."""

    def __init__(self):
        super().__init__("lower_triangular", {})

    @property
    def support(self) -> str:
        return "finite lower-triangular matrices"

    def contains(self, value: np.ndarray) -> np.ndarray:
        return np.isfinite(value) & (np.triu(value, 1) == 0)

    def _forward(self, x):
        return tfp.math.fill_triangular(x)

    def _inverse(self, y):
        return tfp.math.fill_triangular_inverse(y)

    def _forward_log_det_jacobian(self, x):
        return tf.zeros_like(x[..., 0])


class CholeskyFactor(_SquareMatrix):
    """Lower-triangular matrices with a diagonal above `shift`, by softplus.

    Args:
      shift: lower bound of the diagonal, keeps the matrix invertible.
    """

    def __init__(self, shift: float = 1e-5):
        self._shift = as_bound(shift, "shift", where="cholesky")
        if not isinstance(self._shift, float) or self._shift < 0:
            raise ValueError(f"`shift` of `cholesky` must be a number >= 0, got {shift!r}.")
        super().__init__("cholesky", {"shift": self._shift})

    @property
    def support(self) -> str:
        return f"lower-triangular matrices with a diagonal > {self._shift}"

    def contains(self, value: np.ndarray) -> np.ndarray:
        above = np.eye(value.shape[-1], dtype=bool) & (value <= self._shift)
        return np.isfinite(value) & (np.triu(value, 1) == 0) & ~above

    def _forward(self, x):
        matrix = tfp.math.fill_triangular(x)
        diag = tf.math.softplus(tf.linalg.diag_part(matrix)) + tf.constant(self._shift, x.dtype)
        diag = tf.maximum(diag, strictly_above(self._shift, x.dtype))
        return tf.linalg.set_diag(matrix, diag)

    def _inverse(self, y):
        diag = tf.linalg.diag_part(y) - tf.constant(self._shift, y.dtype)
        diag = tf.maximum(diag, float(finfo(y.dtype).tiny))  # rounding may have come below
        return tfp.math.fill_triangular_inverse(
            tf.linalg.set_diag(y, tfp.math.softplus_inverse(diag))
        )

    def _forward_log_det_jacobian(self, x):
        diag = tf.linalg.diag_part(tfp.math.fill_triangular(x))
        return -tf.reduce_sum(tf.math.softplus(-diag), axis=-1)


class PositiveDefinite(_SquareMatrix):
    """Symmetric positive definite matrices, as L L^T with a `CholeskyFactor` L.

    Args:
      shift: lower bound of the diagonal of L.
    """

    def __init__(self, shift: float = 1e-5):
        self._factor = CholeskyFactor(shift)
        self._shift = float(shift)
        super().__init__("positive_definite", {"shift": self._shift})

    @property
    def support(self) -> str:
        return f"symmetric positive definite matrices with pivots > {self._shift}^2"

    def contains(self, value: np.ndarray) -> np.ndarray:
        return _is_positive_definite(value, self._shift)

    def _forward(self, x):
        limits = finfo(x.dtype)
        most = float(np.sqrt(np.float64(limits.max) / (8 * max(1, int(np.sqrt(x.shape[-1]))))))
        least = 2 * float(np.sqrt(np.float64(limits.tiny)))
        factor = tf.clip_by_value(self._factor.forward(x), -most, most)
        diag = tf.maximum(tf.linalg.diag_part(factor), least)
        product = _product(tf.linalg.set_diag(factor, diag))
        variance = tf.linalg.diag_part(product)
        raised = variance * (1 + _margin(tf.square(diag) / variance))
        return tf.linalg.set_diag(product, raised)

    def _inverse(self, y):
        return self._factor.inverse(tf.linalg.cholesky(y))

    def _forward_log_det_jacobian(self, x):
        diag = tf.linalg.diag_part(self._factor.forward(x))
        size = diag.shape[-1]
        powers = tf.range(size, 0, -1, dtype=x.dtype)
        outer = size * np.log(2.0) + tf.reduce_sum(powers * tf.math.log(diag), axis=-1)
        return outer + self._factor.forward_log_det_jacobian(x)


class Correlation(_SquareMatrix):
    """Correlation matrices, or with `cholesky` their lower factors."""

    _has_free_diagonal = False

    def __init__(self, *, cholesky: bool = False):
        self._is_factor = bool(cholesky)
        super().__init__("correlation_cholesky" if cholesky else "correlation", {})

    @property
    def support(self) -> str:
        if self._is_factor:
            return "lower-triangular matrices with positive diagonal and rows of length one"
        return "positive definite matrices with a diagonal of ones"

    def contains(self, value: np.ndarray) -> np.ndarray:
        tolerance = max(1e-5, 10 * value.shape[-1] * resolution(value.dtype))
        if self._is_factor:
            unit = np.abs(np.linalg.norm(value, axis=-1, keepdims=True) - 1) < tolerance
            below = np.eye(value.shape[-1], dtype=bool) & (value <= 0)
            return np.isfinite(value) & (np.triu(value, 1) == 0) & unit & ~below
        ones = ~np.eye(value.shape[-1], dtype=bool) | (np.abs(value - 1) < tolerance)
        return _is_positive_definite(value) & ones

    def _forward(self, x):
        lower = _below_diagonal(x)
        diag = tf.exp(-log_length_with_one(lower))
        factor = tf.linalg.set_diag(lower * diag[..., tf.newaxis], diag)
        if self._is_factor:
            return factor
        product = _product(factor) * (1 - _margin(tf.square(diag))[..., tf.newaxis])
        return tf.linalg.set_diag(product, tf.ones_like(diag))

    def _inverse(self, y):
        factor = y if self._is_factor else tf.linalg.cholesky(y)
        rows = factor / tf.linalg.diag_part(factor)[..., tf.newaxis]
        return tfp.math.fill_triangular_inverse(tf.linalg.band_part(rows[..., 1:, :-1], -1, 0))

    def _forward_log_det_jacobian(self, x):
        log_diag = -log_length_with_one(_below_diagonal(x))
        size = log_diag.shape[-1]
        powers = tf.range(2, size + 2, dtype=x.dtype)
        if not self._is_factor:
            powers += tf.range(size - 1, -1, -1, dtype=x.dtype)
        return tf.reduce_sum(powers * log_diag, axis=-1)


def _below_diagonal(x: tf.Tensor) -> tf.Tensor:
    """The strictly lower-triangular matrix with entries x."""
    matrix = tfp.math.fill_triangular(x)
    pad = [[0, 0]] * (matrix.shape.rank - 2) + [[1, 0], [0, 1]]
    return tf.pad(matrix, pad)


def _product(factor: tf.Tensor) -> tf.Tensor:
    return tf.matmul(factor, factor, transpose_b=True)


def _margin(pivots: tf.Tensor) -> tf.Tensor:
    """By how much to raise the diagonal of a product [..., 1], relative, to outweigh its roundings.

    Zero unless pivots, relative to their rows, are small.
    """
    margin = 64 * float(np.sqrt(pivots.shape[-1])) * resolution(pivots.dtype)
    # Several small pivots multiply their effect.
    smallest = tf.reduce_prod(tf.minimum(10 * pivots, 1.0), axis=-1, keepdims=True)
    raised = tf.constant(margin, pivots.dtype)
    return tf.where(smallest < 64 * margin, raised, tf.zeros_like(raised))


def _is_positive_definite(value: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """True on all entries of the matrices that are symmetric and have pivots above shift^2."""
    wide = value.astype(np.promote_types(np.float32, value.dtype) if value.dtype != "O" else float)
    flat = wide.reshape(-1, *value.shape[-2:])
    epsilon = max(resolution(value.dtype), float(np.finfo(wide.dtype).eps))
    good = np.array([_has_factor(each, shift, epsilon) for each in flat], dtype=bool)
    return np.broadcast_to(good.reshape(*value.shape[:-2], 1, 1), value.shape)


def _has_factor(matrix: np.ndarray, shift: float, epsilon: float) -> bool:
    if not np.isfinite(matrix).all() or not (np.diag(matrix) > 0).all():
        return False
    # Entry by entry in units of the diagonal, so that scales of rows do not matter.
    root = np.sqrt(np.diag(matrix))
    scaled = matrix / root[:, None] / root
    if np.abs(scaled - scaled.T).max() > 100 * epsilon:
        return False
    try:
        factor = np.linalg.cholesky(0.5 * (scaled + scaled.T))
    except np.linalg.LinAlgError:
        return False
    rounding = 16 * len(matrix) * epsilon  # of a pivot, in units of its diagonal entry
    return bool((np.diag(factor) ** 2 > (shift / root) ** 2 * (1 - rounding) - rounding).all())
