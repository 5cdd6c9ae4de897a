"""Maps from the triangles of a square matrix: skew, symmetric, positive semidefinite."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.ranges import require_number

__all__ = ["PositiveSemidefinite", "Skew", "Symmetric", "strict_lower"]

SMALLEST_EIGENVALUE = 1e-6  # of what is assigned, relative to the largest


def strict_lower(x):
    """The part below the diagonal."""
    return tf.linalg.band_part(x, -1, 0) - tf.linalg.diag(tf.linalg.diag_part(x))


class Skew(tf.Module):
    """Skew-symmetric matrices, A = tril(x, -1) - tril(x, -1)^T.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import Skew
        >>> print(Skew()(tf.constant([[1.0, 2.0], [3.0, 4.0]])).numpy())
        [[ 0. -3.]
         [ 3.  0.]]
    """

    def get_config(self) -> dict:
        """No arguments."""
        return {}

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        lower = strict_lower(x)
        return lower - tf.linalg.matrix_transpose(lower)

    def right_inverse(self, y: tf.Tensor) -> tf.Tensor:
        return strict_lower(y)


class Symmetric(tf.Module):
    """Symmetric matrices from the lower triangle.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import Symmetric
        >>> print(Symmetric()(tf.constant([[1.0, 2.0], [3.0, 4.0]])).numpy())
        [[1. 3.]
         [3. 4.]]
    """

    def get_config(self) -> dict:
        """No arguments."""
        return {}

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        lower = strict_lower(x)
        diag = tf.linalg.diag(tf.linalg.diag_part(x))
        return lower + tf.linalg.matrix_transpose(lower) + diag

    def right_inverse(self, y: tf.Tensor) -> tf.Tensor:
        return tf.linalg.band_part(y, -1, 0)


class PositiveSemidefinite(tf.Module):
    """L L^T + jitter I, L lower triangular with a softplus diagonal.

    Entries of L are held where their squares stay finite. A matrix that is assigned and is not
    positive definite is replaced by its symmetric part with eigenvalues of at least 1e-6 times the
    largest: at an exact zero of L L^T no gradient would move it.

    Args:
      jitter: smallest eigenvalue.

    Example:
        >>> from gmmvi_ext.constraints import parametrize
        >>> module = tf.Module()
        >>> module.kernel = tf.Variable([[2.0, 1.0], [1.0, 2.0]])
        >>> rule = parametrize.PositiveSemidefinite()
        >>> module = parametrize.register_parametrization(module, "kernel", rule)
        >>> print(module.kernel.numpy().round(3))
        [[2. 1.]
         [1. 2.]]
    """

    def __init__(self, jitter: float = 0.0):
        super().__init__(name="psd")
        require_number("jitter", jitter)
        self._jitter = float(jitter)

    def get_config(self) -> dict:
        """The arguments, for files that rebuild the map."""
        return {"jitter": self._jitter}

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        size = x.shape[-1]
        limit = float(np.sqrt(np.finfo(x.dtype.as_numpy_dtype).max / (4 * size)))
        x = tf.clip_by_value(x, -limit, limit)
        diag = tf.math.softplus(tf.linalg.diag_part(x))
        factor = tf.linalg.set_diag(tf.linalg.band_part(x, -1, 0), diag)
        return tf.matmul(factor, factor, transpose_b=True) + self._shift(x)

    def right_inverse(self, y: tf.Tensor) -> tf.Tensor:
        y = 0.5 * (y + tf.linalg.matrix_transpose(y)) - self._shift(y)
        values, vectors = tf.linalg.eigh(y)
        largest = values[..., -1:]
        floor = SMALLEST_EIGENVALUE * tf.where(largest > 0, largest, tf.ones_like(largest))
        lifted = tf.matmul(
            vectors * tf.maximum(values, floor)[..., tf.newaxis, :], vectors, transpose_b=True
        )
        good = (values[..., :1] >= floor)[..., tf.newaxis]
        factor = tf.linalg.cholesky(tf.where(good, y, lifted))
        return tf.linalg.set_diag(factor, tfp.math.softplus_inverse(tf.linalg.diag_part(factor)))

    def _shift(self, x):
        return to_dtype(self._jitter, x.dtype) * tf.eye(x.shape[-1], dtype=x.dtype)
