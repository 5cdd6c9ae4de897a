"""Maps without a base: low rank, norms, signs, boxes; and all maps by name.

A right inverse returns finite originals from which gradients can move every entry: a value on the
edge of the image, where the map is flat, is moved a little inside.
"""

import numbers
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints import names
from gmmvi_ext.constraints.parametrize.orthogonal import Grassmannian, Invertible, Orthogonal
from gmmvi_ext.constraints.parametrize.triangles import PositiveSemidefinite, Skew, Symmetric
from gmmvi_ext.ranges import require, require_count, require_number

__all__ = ["MAPS", "LowRank", "SpectralNorm", "UnitNorm", "box", "nonnegative"]

SMALLEST_ROOT = 1e-3


class LowRank(tf.Module):
    """U V^T with U [..., m, rank] and V [..., n, rank], two originals.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import LowRank, register_parametrization
        >>> module = tf.Module()
        >>> module.w = tf.Variable(tf.eye(4))
        >>> module = register_parametrization(module, "w", LowRank(2))
        >>> int(tf.linalg.matrix_rank(module.w))
        2
        >>> [tuple(variable.shape) for variable in module.trainable_variables]
        [(4, 2), (4, 2)]
    """

    def __init__(self, rank: int):
        super().__init__(name="low_rank")
        require_count("rank", rank)
        self._rank = int(rank)

    def get_config(self) -> dict:
        """The arguments, for files that rebuild the map."""
        return {"rank": self._rank}

    def __call__(self, u: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        return tf.matmul(u, v, transpose_b=True)

    def right_inverse(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best approximation. V never has a zero column, so that U can leave zero."""
        s, u, v = tf.linalg.svd(y)
        s = s[..., : self._rank]
        largest = tf.sqrt(s[..., :1])
        smallest = tf.where(largest > 0, SMALLEST_ROOT * largest, tf.ones_like(largest))
        root = tf.maximum(tf.sqrt(s), smallest)
        left, right = (each[..., tf.newaxis, :] for each in (s / root, root))
        return u[..., : self._rank] * left, v[..., : self._rank] * right


class UnitNorm(tf.Module):
    """Vectors of length one along `axis`; zero reads as the vector of equal entries.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import UnitNorm
        >>> print(UnitNorm()(tf.constant([[3.0, 4.0], [0.0, 2.0]])).numpy().round(3))
        [[0.6 0.8]
         [0.  1. ]]
    """

    def __init__(self, axis: int = -1):
        super().__init__(name="unit_norm")
        is_axis = isinstance(axis, numbers.Integral) and not isinstance(axis, bool)
        require(is_axis, "axis", "an integer", axis)
        self._axis = int(axis)

    def get_config(self) -> dict:
        """The arguments, for files that rebuild the map."""
        return {"axis": self._axis}

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = self._nonzero(x)
        # First by the largest entry: squares of large and small numbers leave the format.
        x = x / tf.stop_gradient(tf.reduce_max(tf.abs(x), axis=self._axis, keepdims=True))
        return x / tf.norm(x, axis=self._axis, keepdims=True)

    def right_inverse(self, y: tf.Tensor) -> tf.Tensor:
        return self._nonzero(tf.identity(y))

    def _nonzero(self, x):
        tiny = np.finfo(x.dtype.as_numpy_dtype).tiny
        largest = tf.reduce_max(tf.abs(x), axis=self._axis, keepdims=True)
        return tf.where(largest >= tiny, x, x + tf.ones_like(x))


class SpectralNorm(tf.Module):
    """Matrices scaled to a largest singular value of at most `bound`.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import SpectralNorm
        >>> matrix = SpectralNorm(1.0)(tf.linalg.diag([4.0, 2.0]))
        >>> print(tf.linalg.svd(matrix, compute_uv=False).numpy().round(3))
        [1.  0.5]
    """

    def __init__(self, bound: float = 1.0):
        super().__init__(name="spectral_norm")
        require_number("bound", bound)
        self._bound = float(bound)
        if not self._bound > 0:
            raise ValueError(f"`bound` of `spectral_norm` must be positive, got {bound!r}.")

    def get_config(self) -> dict:
        """The arguments, for files that rebuild the map."""
        return {"bound": self._bound}

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        largest = tf.linalg.svd(x, compute_uv=False)[..., :1, tf.newaxis]
        return x / tf.maximum(largest / self._bound, tf.ones([], x.dtype))

    def right_inverse(self, y: tf.Tensor) -> tf.Tensor:
        return tf.identity(y)


class _Rectified(tf.Module):
    """max(x, 0), with gradient one at zero, so that zeros can leave."""

    def __init__(self):
        super().__init__(name="relu")

    def get_config(self) -> dict:
        return {}

    def __call__(self, x):
        return tf.maximum(x, tf.zeros([], x.dtype))

    def right_inverse(self, y):
        return tf.maximum(y, tf.zeros([], y.dtype))


class _Square(tf.Module):
    """x^2, held where it stays finite."""

    def __init__(self):
        super().__init__(name="square")

    def get_config(self) -> dict:
        return {}

    def __call__(self, x):
        limit = float(np.sqrt(np.finfo(x.dtype.as_numpy_dtype).max)) * 0.99
        return tf.square(tf.clip_by_value(x, -limit, limit))

    def right_inverse(self, y):
        return tf.where(y > 0, tf.sqrt(tf.abs(y)), tf.constant(SMALLEST_ROOT, y.dtype))


def box(low: float = -1.0, high: float = 1.0) -> Any:
    """Values strictly between `low` and `high`.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import box, register_parametrization
        >>> module = tf.Module()
        >>> module.w = tf.Variable([0.25, -0.5])
        >>> module = register_parametrization(module, "w", box(-1.0, 1.0))
        >>> print(module.w.numpy().round(3))  # the same values; training keeps them inside
        [ 0.25 -0.5 ]
    """
    return names.box(low, high)


def nonnegative(kind: str = "softplus") -> Any:
    """Non-negative values; `kind` is "softplus", "relu" or "square".

    Example:
        >>> from gmmvi_ext.constraints.parametrize import nonnegative
        >>> print(nonnegative("square")(tf.constant([-2.0, 0.0, 3.0])).numpy())
        [4. 0. 9.]
    """
    kinds = {"softplus": names.positive, "relu": _Rectified, "square": _Square}
    if kind not in kinds:
        raise ValueError(f"`kind` of `nonnegative` must be one of {tuple(kinds)}, got {kind!r}.")
    return kinds[kind]()


MAPS = {
    "grassmannian": Grassmannian,
    "invertible": Invertible,
    "low_rank": LowRank,
    "orthogonal": Orthogonal,
    "psd": PositiveSemidefinite,
    "relu": _Rectified,
    "skew": Skew,
    "spectral_norm": SpectralNorm,
    "square": _Square,
    "symmetric": Symmetric,
    "unit_norm": UnitNorm,
}
