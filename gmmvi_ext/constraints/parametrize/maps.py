"""Maps onto sets of matrices and vectors, each with its right inverse.

    skew            A = tril(x, -1) - tril(x, -1)^T
    orthogonal      B exp(A), B (I + A/2)(I - A/2)^-1, or B times a product of reflectors
    psd             L L^T + jitter I, L lower triangular with a softplus diagonal
    symmetric, low_rank, unit_norm, spectral_norm, box, nonnegative

Everything is a fixed number of matrix products and solves: differentiable under XLA, where
`tf.linalg.expm` is not.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints import names

__all__ = [
    "LowRank",
    "Orthogonal",
    "PositiveSemidefinite",
    "Skew",
    "Symmetric",
    "UnitNorm",
    "SpectralNorm",
    "box",
    "expm",
    "nonnegative",
]

SQUARINGS = 6
TAYLOR_ORDER = 10  # of exp(A / 2^6): remainder below 1e-16 up to |A| = 20


def expm(matrix: tf.Tensor) -> tf.Tensor:
    """exp of square matrices [..., n, n] by fixed scaling and squaring."""
    scaled = matrix * 0.5**SQUARINGS
    eye = _eye_like(matrix)
    result = eye + scaled / TAYLOR_ORDER
    for order in range(TAYLOR_ORDER - 1, 0, -1):  # Horner
        result = eye + tf.matmul(scaled, result) / order
    for _ in range(SQUARINGS):
        result = tf.matmul(result, result)
    return result


class Skew(tf.Module):
    """Skew-symmetric matrices from the strict lower triangle."""

    def __call__(self, x):
        lower = _strict_lower(x)
        return lower - tf.linalg.matrix_transpose(lower)

    def right_inverse(self, y):
        return _strict_lower(y)


class Symmetric(tf.Module):
    """Symmetric matrices from the lower triangle."""

    def __call__(self, x):
        lower = _strict_lower(x)
        diag = tf.linalg.diag(tf.linalg.diag_part(x))
        return lower + tf.linalg.matrix_transpose(lower) + diag

    def right_inverse(self, y):
        return tf.linalg.band_part(y, -1, 0)


class Orthogonal(tf.Module):
    """Matrices [..., n, k] with orthonormal columns (rows if k > n).

    Args:
      map: "expm", "cayley" or "householder". The value is B times the map of x; assigning Q sets
        B = Q and x to the map's identity, so every orthogonal matrix can be reached.
      polish: whether one Newton-Schulz step Q (3 I - Q^T Q) / 2 removes rounding errors.
    """

    MAPS = ("expm", "cayley", "householder")

    def __init__(self, map: str = "expm", *, polish: bool = True):
        super().__init__(name="orthogonal")
        if map not in self.MAPS:
            raise ValueError(f"`map` of `orthogonal` must be one of {self.MAPS}, got {map!r}.")
        self._map, self._polish = map, polish
        self.base = None

    def build(self, shape, dtype, make_variable) -> None:
        """Makes the base B [..., max(n, k), max(n, k)]."""
        size = max(shape[-2], shape[-1])
        eye = tf.eye(size, batch_shape=shape[:-2].as_list(), dtype=dtype)
        self.base = make_variable(eye, "orthogonal_base")

    def __call__(self, x):
        if x.shape[-1] > x.shape[-2]:
            return tf.linalg.matrix_transpose(self._tall(tf.linalg.matrix_transpose(x)))
        return self._tall(x)

    def _tall(self, x):
        columns = x.shape[-1]
        if self._map == "householder":
            q = _reflectors(x)
        else:
            pad = [[0, 0]] * (x.shape.rank - 1) + [[0, x.shape[-2] - columns]]
            skew = Skew()(tf.pad(x, pad))
            q = expm(skew) if self._map == "expm" else _cayley(skew)
        base = tf.stop_gradient(tf.convert_to_tensor(self.base))
        q = tf.matmul(base, q)[..., :columns]
        if self._polish:
            gram = tf.matmul(q, q, transpose_a=True)
            q = 1.5 * q - 0.5 * tf.matmul(q, gram)
        return q

    def right_inverse(self, y):
        """Sets the base to (the nearest orthogonal completion of) y and returns the zero of x."""
        wide = y.shape[-1] > y.shape[-2]
        tall = tf.linalg.matrix_transpose(y) if wide else y
        columns = tall.shape[-1]
        q, r = tf.linalg.qr(tall, full_matrices=True)
        signs = tf.where(tf.linalg.diag_part(r[..., :columns, :]) < 0, -1.0, 1.0)
        signs = tf.cast(signs, y.dtype)
        if self._map == "householder":
            signs = -signs  # reflectors at x = 0 flip the first columns
        rest = tf.ones([*signs.shape[:-1], tall.shape[-2] - columns], y.dtype)
        self.base.assign(q * tf.concat([signs, rest], axis=-1)[..., tf.newaxis, :])
        return tf.zeros_like(y)


class PositiveSemidefinite(tf.Module):
    """L L^T + jitter I, with smallest eigenvalue of at least `jitter`."""

    def __init__(self, jitter: float = 0.0):
        super().__init__(name="psd")
        self._jitter = float(jitter)

    def __call__(self, x):
        diag = tf.math.softplus(tf.linalg.diag_part(x))
        factor = tf.linalg.set_diag(tf.linalg.band_part(x, -1, 0), diag)
        return tf.matmul(factor, factor, transpose_b=True) + self._jitter * _eye_like(x)

    def right_inverse(self, y):
        factor = tf.linalg.cholesky(y - self._jitter * _eye_like(y))
        return tf.linalg.set_diag(factor, tfp.math.softplus_inverse(tf.linalg.diag_part(factor)))


class LowRank(tf.Module):
    """U V^T with U [..., m, rank] and V [..., n, rank], two originals."""

    def __init__(self, rank: int):
        super().__init__(name="low_rank")
        self._rank = int(rank)

    def __call__(self, u, v):
        return tf.matmul(u, v, transpose_b=True)

    def right_inverse(self, y):
        s, u, v = tf.linalg.svd(y)
        root = tf.sqrt(s[..., : self._rank])[..., tf.newaxis, :]
        return u[..., : self._rank] * root, v[..., : self._rank] * root


class UnitNorm(tf.Module):
    """Vectors of length one along `axis`."""

    def __init__(self, axis: int = -1):
        super().__init__(name="unit_norm")
        self._axis = axis

    def __call__(self, x):
        return x / tf.norm(x, axis=self._axis, keepdims=True)

    def right_inverse(self, y):
        return tf.identity(y)


class SpectralNorm(tf.Module):
    """Matrices scaled to a largest singular value of at most `bound`."""

    def __init__(self, bound: float = 1.0):
        super().__init__(name="spectral_norm")
        self._bound = float(bound)

    def __call__(self, x):
        largest = tf.linalg.svd(x, compute_uv=False)[..., :1, tf.newaxis]
        return x * tf.minimum(self._bound / largest, tf.ones([], x.dtype))

    def right_inverse(self, y):
        return tf.identity(y)


def box(low: float = -1.0, high: float = 1.0):
    """Values strictly between `low` and `high`."""
    return names.box(low, high)


class _Rectified(tf.Module):
    def __call__(self, x):
        return tf.maximum(x, tf.zeros([], x.dtype))  # gradient one at zero, so that zeros can leave

    def right_inverse(self, y):
        return tf.identity(y)


class _Square(tf.Module):
    def __call__(self, x):
        return tf.square(x)

    def right_inverse(self, y):
        return tf.sqrt(y)


def nonnegative(kind: str = "softplus"):
    """Non-negative values; `kind` is "softplus", "relu" or "square"."""
    kinds = {"softplus": names.positive, "relu": _Rectified, "square": _Square}
    if kind not in kinds:
        raise ValueError(f"`kind` of `nonnegative` must be one of {tuple(kinds)}, got {kind!r}.")
    return kinds[kind]()


def _strict_lower(x):
    return tf.linalg.band_part(x, -1, 0) - tf.linalg.diag(tf.linalg.diag_part(x))


def _eye_like(x):
    return tf.eye(x.shape[-1], dtype=x.dtype)


def _cayley(skew):
    eye = _eye_like(skew)
    return tf.linalg.solve(eye - 0.5 * skew, eye + 0.5 * skew)


def _reflectors(x):
    """Product of the reflectors of the columns of tril(x, -1) + I, full [..., n, n].

    H_1 ... H_k = I - V T V^T with T^-1 = striu(V^T V) + diag(V^T V) / 2.
    """
    rows, columns = x.shape[-2], x.shape[-1]
    v = tf.linalg.set_diag(_strict_lower_of(x), tf.ones([*x.shape[:-2], columns], x.dtype))
    gram = tf.matmul(v, v, transpose_a=True)
    upper = tf.linalg.band_part(gram, 0, -1)
    upper = tf.linalg.set_diag(upper, 0.5 * tf.linalg.diag_part(gram))
    solved = tf.linalg.triangular_solve(upper, tf.linalg.matrix_transpose(v), lower=False)
    return tf.eye(rows, dtype=x.dtype) - tf.matmul(v, solved)


def _strict_lower_of(x):
    """Strict lower part of a tall matrix."""
    mask = np.tril(np.ones([x.shape[-2], x.shape[-1]]), -1)
    return x * tf.constant(mask, x.dtype)
