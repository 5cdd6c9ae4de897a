"""Orthogonal frames, subspaces and invertible matrices, around a base that an assignment sets.

    orthogonal     Q = B exp(A),  B (I - A/2)^-1 (I + A/2),  or B times a product of reflectors
    grassmannian   Q = B exp([[0, -X^T], [X, 0]]), frames that differ in their span only
    invertible     M = Q R, R upper triangular with a positive diagonal: the sign of det is kept

The first columns of Q are taken where the matrix is not square.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.parametrize import exponential
from gmmvi_ext.constraints.parametrize.triangles import Skew, strict_lower
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.types import DTypeLike

__all__ = ["Grassmannian", "Invertible", "Orthogonal"]

SMALLEST_DIAG = 1e-3  # of R, relative to the largest entry, where a singular matrix is assigned


class Orthogonal(tf.Module):
    """Matrices [..., n, k] with orthonormal columns (rows if k > n).

    Args:
      map: "expm", "cayley" or "householder". The value is B times the map of x; assigning Q sets
        B = Q and x to the map's identity, so every orthogonal matrix can be reached.
      polish: whether one Newton-Schulz step Q (3 I - Q^T Q) / 2 removes rounding errors.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import Orthogonal, register_parametrization
        >>> module = tf.Module()
        >>> module.w = tf.Variable(tf.random.stateless_normal([4, 2], seed=[0, 1]))
        >>> module = register_parametrization(module, "w", Orthogonal())
        >>> print(abs(tf.matmul(module.w, module.w, transpose_a=True)).numpy().round(3))
        [[1. 0.]
         [0. 1.]]
    """

    MAPS = ("expm", "cayley", "householder")

    def __init__(self, map: str = "expm", *, polish: bool = True):
        super().__init__(name="orthogonal")
        require_switches(polish=polish)
        if map not in self.MAPS:
            raise ValueError(f"`map` of `orthogonal` must be one of {self.MAPS}, got {map!r}.")
        self._map, self._polish = map, polish
        self.base: Any = None

    def get_config(self) -> dict:
        """The arguments, for files that rebuild the map."""
        return {"map": self._map, "polish": self._polish}

    def build(self, shape: tf.TensorShape, dtype: DTypeLike, make_variable: Callable) -> None:
        """Makes the base B [..., max(n, k), max(n, k)]."""
        size = max(shape[-2], shape[-1])
        eye = tf.eye(size, batch_shape=shape[:-2].as_list(), dtype=dtype)
        self.base = make_variable(eye, "orthogonal_base")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        if x.shape[-1] > x.shape[-2]:
            return tf.linalg.matrix_transpose(self._tall(tf.linalg.matrix_transpose(x)))
        return self._tall(x)

    def _tall(self, x):
        if self._map == "householder":
            q = _reflectors(x)
        else:
            skew = self._skew(x)
            q = _rotation(skew) if self._map == "expm" else _cayley(skew)
        base = tf.stop_gradient(tf.convert_to_tensor(self.base))
        q = tf.matmul(base, q)[..., : x.shape[-1]]
        return _polished(q) if self._polish else q

    def _skew(self, x):
        pad = [[0, 0]] * (x.shape.rank - 1) + [[0, x.shape[-2] - x.shape[-1]]]
        return Skew()(tf.pad(x, pad))

    def right_inverse(self, y: tf.Tensor) -> tf.Tensor:
        """Sets the base to (the nearest orthogonal completion of) y and returns the zero of x."""
        wide = y.shape[-1] > y.shape[-2]
        tall = tf.linalg.matrix_transpose(y) if wide else y
        columns = tall.shape[-1]
        q, r = tf.linalg.qr(tall, full_matrices=True)
        signs = _signs(r[..., :columns, :])
        if self._map == "householder":
            signs = -signs  # reflectors at x = 0 flip the first columns
        rest = tf.ones([*signs.shape[:-1], tall.shape[-2] - columns], y.dtype)
        self.base.assign(q * tf.concat([signs, rest], axis=-1)[..., tf.newaxis, :])
        return tf.zeros_like(y)


class Grassmannian(Orthogonal):
    """Subspaces: frames [..., n, k] of which only the span is free (the row space if k > n).

    `frame @ frame^T` is the projector onto the subspace. Gradients that would only turn the frame
    inside its span are zero.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import Grassmannian, register_parametrization
        >>> module = tf.Module()
        >>> module.frame = tf.Variable(tf.random.stateless_normal([5, 2], seed=[0, 1]))
        >>> module = register_parametrization(module, "frame", Grassmannian())
        >>> projector = tf.matmul(module.frame, module.frame, transpose_b=True)
        >>> round(float(tf.linalg.trace(projector)), 3)  # the dimension of the subspace
        2.0
    """

    def __init__(self, *, polish: bool = True):
        super().__init__("expm", polish=polish)

    def get_config(self) -> dict:
        return {"polish": self._polish}

    def _skew(self, x):
        columns = x.shape[-1]
        below = x[..., columns:, :]
        whole = tf.concat([tf.zeros_like(x[..., :columns, :]), below], axis=-2)
        pad = [[0, 0]] * (x.shape.rank - 1) + [[0, x.shape[-2] - columns]]
        return Skew()(tf.pad(whole, pad))


class Invertible(tf.Module):
    """Square matrices with a determinant other than zero, of the sign it had when assigned.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import Invertible, register_parametrization
        >>> module = tf.Module()
        >>> module.w = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
        >>> module = register_parametrization(module, "w", Invertible())
        >>> round(float(tf.linalg.det(module.w)), 2)  # kept, and never zero in training
        -2.0
    """

    def __init__(self):
        super().__init__(name="invertible")
        self.factor = Orthogonal()

    def get_config(self) -> dict:
        """No arguments."""
        return {}

    def build(self, shape: tf.TensorShape, dtype: DTypeLike, make_variable: Callable) -> None:
        """Makes the base of the orthogonal factor."""
        if shape[-1] != shape[-2]:
            raise ValueError(f"`invertible` needs square matrices, got shape {tuple(shape)}.")
        self.factor.build(shape, dtype, make_variable)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        q = self.factor(strict_lower(x))
        tiny = np.finfo(x.dtype.as_numpy_dtype).tiny
        diag = tf.maximum(tf.math.softplus(tf.linalg.diag_part(x)), tiny)
        r = tf.linalg.set_diag(tf.linalg.band_part(x, 0, -1), diag)
        return tf.matmul(q, r)

    def right_inverse(self, y: tf.Tensor) -> tf.Tensor:
        """A singular y is moved a little: small numbers take the place of zeros on the diagonal."""
        self.factor.right_inverse(y)
        r = tf.linalg.qr(y, full_matrices=True).r
        r = r * _signs(r)[..., tf.newaxis]
        largest = tf.reduce_max(tf.abs(y), axis=[-2, -1])[..., tf.newaxis]
        floor = SMALLEST_DIAG * tf.where(largest > 0, largest, tf.ones_like(largest))
        diag = tf.linalg.diag_part(r)
        diag = tf.where(diag > _epsilon(y) * largest, diag, floor)
        return tf.linalg.set_diag(tf.linalg.band_part(r, 0, -1), tfp.math.softplus_inverse(diag))


def _signs(r):
    """Signs of the diagonal of [..., k, k], one for zeros."""
    ones = tf.ones_like(tf.linalg.diag_part(r))
    return tf.where(tf.linalg.diag_part(r) < 0, -ones, ones)


def _polished(q):
    return 1.5 * q - 0.5 * tf.matmul(q, tf.matmul(q, q, transpose_a=True))


def _rotation(skew):
    """exp of skew matrices; orthogonal whatever their norm."""
    held = _shrunk(skew, 0.5 * exponential.LARGEST_NORM)
    return exponential.expm(held, after_squaring=_polished)


def _cayley(skew):
    # Beyond this norm the ones on the diagonal are lost and the system may be singular.
    skew = _shrunk(skew, _epsilon(skew) ** -0.5)
    eye = tf.eye(skew.shape[-1], dtype=skew.dtype)
    return tf.linalg.solve(eye - 0.5 * skew, eye + 0.5 * skew)


def _shrunk(matrix, largest: float):
    """The matrix, scaled down to norm `largest` if it lies above."""
    return matrix * tf.minimum(largest / tf.maximum(exponential.norm(matrix), 1.0), 1.0)


def _reflectors(x):
    """Product of the reflectors of the columns of tril(x, -1) + I, full [..., n, n].

    H_1 ... H_k = I - V T V^T with T^-1 = striu(V^T V) + diag(V^T V) / 2, for columns of length one.
    """
    rows, columns = x.shape[-2], x.shape[-1]
    mask = np.tril(np.ones([rows, columns]), -1)
    v = tf.linalg.set_diag(
        x * tf.constant(mask, x.dtype), tf.ones([*x.shape[:-2], columns], x.dtype)
    )
    # First by the largest entry: squares of large ones overflow.
    v = v / tf.stop_gradient(tf.reduce_max(tf.abs(v), axis=-2, keepdims=True))
    v = v / tf.norm(v, axis=-2, keepdims=True)
    upper = tf.linalg.band_part(tf.matmul(v, v, transpose_a=True), 0, -1)
    upper = tf.linalg.set_diag(upper, tf.fill(tf.shape(v[..., 0, :]), tf.constant(0.5, x.dtype)))
    solved = tf.linalg.triangular_solve(upper, tf.linalg.matrix_transpose(v), lower=False)
    return tf.eye(rows, dtype=x.dtype) - tf.matmul(v, solved)


def _epsilon(x) -> float:
    return float(np.finfo(x.dtype.as_numpy_dtype).eps)
