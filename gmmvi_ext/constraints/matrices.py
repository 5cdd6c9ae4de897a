"""Constraints on square matrices: triangular, Cholesky factor, positive definite, correlation.

With L the lower factor of n rows, in the coordinates of the free entries,

    positive_definite   S = L L^T     log |dS/dL| = n log 2 + sum_i (n - i) log L_ii     (i =
    0..n-1) correlation         R = L L^T     log |dR/dL| = sum_i (n - 1 - i) log L_ii

The rows of a correlation factor have length one, so its diagonal is not free. TFP's chain of
`CholeskyOuterProduct` and `CorrelationCholesky` counts it as free and is off by
n log 2 + sum_i log L_ii; the log-determinant here is the right one.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.base import ConstraintBijector, as_bound

tfb = tfp.bijectors

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
        size = int(round((np.sqrt(8 * count + 1) - 1) / 2)) + (not self._has_free_diagonal)
        if self._num_free(size) != count:
            raise ValueError(f"`{self.name}` cannot fill a square matrix with {count} entries.")
        return shape[:-1].concatenate([size, size])

    def _inverse_event_shape(self, shape):
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
        diag = tf.math.softplus(tf.linalg.diag_part(matrix)) + tf.cast(self._shift, x.dtype)
        tiny = np.finfo(x.dtype.as_numpy_dtype).tiny
        return tf.linalg.set_diag(matrix, tf.maximum(diag, tiny))

    def _inverse(self, y):
        diag = tf.linalg.diag_part(y) - tf.cast(self._shift, y.dtype)
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
        super().__init__("positive_definite", {"shift": float(shift)})

    @property
    def support(self) -> str:
        return "symmetric positive definite matrices"

    def contains(self, value: np.ndarray) -> np.ndarray:
        return _is_positive_definite(value)

    def _forward(self, x):
        factor = self._factor.forward(x)
        return tf.matmul(factor, factor, transpose_b=True)

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
        if self._is_factor:
            unit = np.abs(np.linalg.norm(value, axis=-1, keepdims=True) - 1) < 1e-5
            below = np.eye(value.shape[-1], dtype=bool) & (value <= 0)
            return np.isfinite(value) & (np.triu(value, 1) == 0) & unit & ~below
        ones = ~np.eye(value.shape[-1], dtype=bool) | (np.abs(value - 1) < 1e-5)
        return _is_positive_definite(value) & ones

    def _forward(self, x):
        factor = tfb.CorrelationCholesky().forward(x)
        return factor if self._is_factor else tf.matmul(factor, factor, transpose_b=True)

    def _inverse(self, y):
        factor = y if self._is_factor else tf.linalg.cholesky(y)
        return tfb.CorrelationCholesky().inverse(tf.identity(factor))

    def _forward_log_det_jacobian(self, x):
        factor_log_det = tfb.CorrelationCholesky().forward_log_det_jacobian(x, event_ndims=1)
        if self._is_factor:
            return factor_log_det
        diag = tf.linalg.diag_part(tfb.CorrelationCholesky().forward(tf.identity(x)))
        powers = tf.range(diag.shape[-1] - 1, -1, -1, dtype=x.dtype)
        return factor_log_det + tf.reduce_sum(powers * tf.math.log(diag), axis=-1)


def _is_positive_definite(value: np.ndarray) -> np.ndarray:
    """True on all entries of the matrices that are symmetric and positive definite."""
    finite = np.isfinite(value).all(axis=(-2, -1))
    safe = np.where(finite[..., None, None], value, np.eye(value.shape[-1], dtype=value.dtype))
    scale = np.abs(safe).max(axis=(-2, -1))
    tolerance = 100 * np.finfo(value.dtype).eps * scale
    gap = np.abs(safe - np.swapaxes(safe, -1, -2)).max(axis=(-2, -1))
    symmetric = 0.5 * (safe + np.swapaxes(safe, -1, -2))
    smallest = np.linalg.eigvalsh(symmetric)[..., 0]
    good = finite & (gap <= tolerance) & (smallest > 0)
    return np.broadcast_to(good[..., None, None], value.shape)
