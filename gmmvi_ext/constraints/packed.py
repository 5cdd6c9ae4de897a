"""Triangles of matrices as vectors, in the order in which PyMC packs them.

packed_cholesky      the lower triangle row by row, diagonal positive      R^m -> m entries
packed_correlation   the strict upper triangle row by row                  R^m -> m entries
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.base import ConstraintBijector
from gmmvi_ext.constraints.matrices import Correlation
from gmmvi_ext.constraints.scalar import Positive

__all__ = ["PackedCholesky", "PackedCorrelation"]


def _size(count: int | None, first: int, where: str) -> int:
    """n of a triangle of `count` = first + ... + (first + n - 1) entries."""
    count = count or 0
    size = (math.isqrt(8 * count + 1) - 1) // 2
    if count < 1 or size * (size + 1) // 2 != count:
        kind = "1, 3, 6, 10 ..." if first else "1, 3, 6 ... (n (n - 1) / 2)"
        raise ValueError(f"`{where}` needs a last axis of {kind} entries, got {count}.")
    return size if first else size + 1


class PackedCholesky(ConstraintBijector):
    """Lower triangle of a Cholesky factor, row by row; the diagonal is exp of free numbers."""

    def __init__(self):
        super().__init__("packed_cholesky", {}, forward_min_event_ndims=1)
        self._positive = Positive(base="exp")

    @property
    def support(self) -> str:
        return "packed lower triangles of Cholesky factors, diagonal entries positive"

    def contains(self, value: np.ndarray) -> np.ndarray:
        on_diagonal = self._on_diagonal(value.shape[-1])
        return np.isfinite(value) & (~on_diagonal | (value > 0))

    def held(self, x: tf.Tensor) -> tf.Tensor:
        return self._where(x, self._positive.held(x), x)

    def _on_diagonal(self, count: int | None) -> np.ndarray:
        size = _size(count, 1, self.name)
        rows, columns = np.tril_indices(size)
        return rows == columns

    def _where(self, x, on, off):
        return tf.where(self._on_diagonal(x.shape[-1]), on, off)

    def _inverse_event_shape(self, shape):
        _size(shape[-1] if shape.rank else None, 1, self.name)
        return shape

    def _forward(self, x):
        return self._where(x, self._positive._forward(x), x)

    def _inverse(self, y):
        on_diagonal = self._where(y, y, tf.ones_like(y))
        return self._where(y, self._positive._inverse(on_diagonal), y)

    def _forward_log_det_jacobian(self, x):
        return tf.reduce_sum(self._where(x, x, tf.zeros_like(x)), axis=-1)


class PackedCorrelation(ConstraintBijector):
    """Strict upper triangle of a correlation matrix, row by row."""

    def __init__(self):
        super().__init__("packed_correlation", {}, forward_min_event_ndims=1)
        self._matrix = Correlation()

    @property
    def support(self) -> str:
        return "packed upper triangles of correlation matrices"

    def contains(self, value: np.ndarray) -> np.ndarray:
        inside = self._matrix.contains(self._unpacked(tf.constant(value)).numpy())
        return np.isfinite(value) & inside.all(axis=(-2, -1))[..., np.newaxis]

    def _indices(self, count: int | None) -> tuple[int, np.ndarray, np.ndarray]:
        size = _size(count, 0, self.name)
        return size, *np.triu_indices(size, 1)

    def _unpacked(self, y: tf.Tensor) -> tf.Tensor:
        size, rows, columns = self._indices(y.shape[-1])
        place = np.full((size, size), len(rows), np.int32)
        place[rows, columns] = place[columns, rows] = np.arange(len(rows))
        with_one = tf.concat([y, tf.ones_like(y[..., :1])], axis=-1)
        return tf.gather(with_one, place, axis=-1)

    def _inverse_event_shape(self, shape):
        _size(shape[-1] if shape.rank else None, 0, self.name)
        return shape

    def _forward(self, x):
        size, rows, columns = self._indices(x.shape[-1])
        matrix = self._matrix._forward(x)
        flat = tf.reshape(matrix, tf.concat([tf.shape(matrix)[:-2], [size * size]], axis=0))
        return tf.gather(flat, rows * size + columns, axis=-1)

    def _inverse(self, y):
        return self._matrix._inverse(self._unpacked(y))

    def _forward_log_det_jacobian(self, x):
        return self._matrix._forward_log_det_jacobian(x)
