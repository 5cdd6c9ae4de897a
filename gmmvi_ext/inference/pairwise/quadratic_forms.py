"""Many Gaussians at many points by one product: quadratic forms of the same monomials.

In a frame y = F^{-1} (x - c) that all components share, with A_k = L_k^{-1} F, B_k = A_k^T A_k and
m_k = F^{-1} (mu_k - c), squared distances are linear in the monomials y_i y_j (i <= j) and y_i:

    |z_nk|^2 = y^T B_k y - 2 (B_k m_k)^T y + m_k^T B_k m_k.

For D dimensions that is one product with an inner dimension of D (D + 3) / 2 that writes one number
per pair, where whitened differences z take twice the multiplications and write D numbers. Weighted
sums of y y^T over points, and products of the y with other vectors, are such products, too.

What it costs is digits: terms cancel that are larger than their sum. Therefore the covariance of
the frame is the average of the components' own, points come in chunks of neighbors with c their
mean, and components are left to whitened differences on chunks where they would have terms above
a limit: those much narrower than the mixture, or not far from points that are far from each
other. The error of a log density is then some 1e-5 nats in float32, at most about 1e-3.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.inference.pairwise.tiles import Tiles
from gmmvi_ext.math.linalg import inverse_lower_triangular, matvec, safe_cholesky

__all__ = ["LocalForms", "QuadraticForms", "unpacked"]

# Nats of error in a log density that the rounding of its largest term may cause: terms below 8 000
# in float32, 5 million in float64.
MAX_ERROR = {tf.float32: 1e-3, tf.float64: 1e-9}
# A mean this many times farther from a chunk than the chunk is wide: nothing cancels.
FAR = 2.0
# Components that others are sorted around.
NUM_ANCHORS = 16
# How much larger than usual a chunk may be that turns out to need whitened differences.
EXCESS = 8


class QuadraticForms(NamedTuple):
    """K Gaussians as quadratic forms in a common frame.

    Attributes:
      rank: place of each component in an order in which neighbors come together, int32 [K].
      origin: [D].
      whiten: F^{-1}, [D, D].
      maps: A_k, [K, D, D].
      curvature: B_k, [K, D, D].
      squares: coefficients of y_i y_j, i <= j, in log N_k, [K, D (D + 1) / 2].
      loc: F^{-1} (mu_k - origin), [K, D].
      top: log N_k(mu_k), [K].
    """

    rank: tf.Tensor
    origin: tf.Tensor
    whiten: tf.Tensor
    maps: tf.Tensor
    curvature: tf.Tensor
    squares: tf.Tensor
    loc: tf.Tensor
    top: tf.Tensor

    @classmethod
    def of(cls, mixture: Mixture) -> "QuadraticForms":
        """The forms of a mixture with full covariances; those, weighted, make the frame."""
        components = mixture.components
        if not isinstance(components, FullGaussians):
            raise TypeError(f"forms are of full covariances, got {type(components).__name__}.")
        scale_tril, dim = components.scale_tril, components.num_dimensions
        weighted = scale_tril * tf.exp(0.5 * mixture.log_weights)[:, tf.newaxis, tf.newaxis]
        stacked = tf.reshape(tf.transpose(weighted, [1, 0, 2]), [dim, -1])
        frame, _ = safe_cholesky(tf.matmul(stacked, stacked, transpose_b=True))
        whiten = inverse_lower_triangular(frame)
        maps = tf.matmul(inverse_lower_triangular(scale_tril), frame)
        curvature = tf.matmul(maps, maps, transpose_a=True)
        first, second = _upper_triangle(dim)
        squares = tf.gather(tf.reshape(curvature, [-1, dim * dim]), first * dim + second, axis=1)
        squares *= _coefficients(dim, components.dtype)
        origin = tf.reduce_mean(components.loc, axis=0)
        loc = tf.matmul(components.loc - origin, whiten, transpose_b=True)
        top = -components.log_det_scale() - 0.5 * dim * math.log(2 * math.pi)
        rank = _rank(loc, mixture.log_weights)
        return cls(rank, origin, whiten, maps, curvature, squares, loc, top)

    def upper(self) -> tf.Tensor:
        """Entries i <= j of B_k, [K, D (D + 1) / 2]."""
        return self.squares / _coefficients(self.loc.shape[1], self.loc.dtype)

    def tile_order(self, tiles: Tiles) -> tuple[tf.Tensor, tf.Tensor]:
        """Order in which neighboring tiles come together, each tile's place in it, int32 [B]."""
        order = tf.argsort(tf.gather(self.rank, tiles.label), stable=True)
        return order, tf.math.invert_permutation(order)

    def chunk_elements(self, otherwise: tf.Tensor) -> tf.Tensor:
        """Elements that a point of a chunk takes, for `even_rows`; `otherwise` without forms.

        Some times more where many components are left to whitened differences.
        """
        dim, num = self.loc.shape[1], tf.size(self.rank)
        return tf.maximum(tf.maximum(num, dim * (dim + 1)), otherwise // EXCESS)

    def subset(self, index: tf.Tensor) -> "QuadraticForms":
        """Some of the components; index int32 [R]."""
        own = ("rank", "maps", "curvature", "squares", "loc", "top")
        return self._replace(**{name: tf.gather(getattr(self, name), index) for name in own})

    def around(self, x: tf.Tensor, is_used: tf.Tensor) -> "LocalForms":
        """The forms around the mean of points [n, D] of which some, bool [n], count."""
        used = tf.cast(is_used, x.dtype)
        y = tf.matmul(self.whiten, x - self.origin, transpose_b=True)  # [D, n]
        share = tf.expand_dims(used / tf.maximum(tf.reduce_sum(used), 1.0), 1)
        middle = tf.matmul(y, share)
        y = (y - middle) * used
        spread = tf.matmul(tf.square(y), share)  # [D, 1]
        loc = self.loc - tf.transpose(middle)
        slope = matvec(self.curvature, loc)
        apart = tf.reduce_sum(loc * slope, axis=1)
        terms = tf.matmul(tf.linalg.diag_part(self.curvature), spread)[:, 0]
        largest = tf.square(tf.sqrt(terms) + tf.sqrt(tf.maximum(apart, 0.0)))
        is_small = largest <= MAX_ERROR[x.dtype] / np.finfo(x.dtype.as_numpy_dtype).eps
        is_accurate = is_small | (apart >= FAR**2 * terms)
        ill_conditioned = tf.cast(tf.where(~is_accurate)[:, 0], tf.int32)
        return LocalForms(ill_conditioned, tf.cast(is_accurate, x.dtype), y, loc, slope)

    def log_prob_rows(self, local: "LocalForms") -> tf.Tensor:
        """log N_k(x_n), a row for each component, zeros in ill-conditioned ones, [K, n]."""
        apart = tf.reduce_sum(local.loc * local.slope, axis=1)
        rows = tf.expand_dims(self.top - 0.5 * apart, 1) + tf.matmul(
            tf.concat([self.squares, local.slope], axis=1),
            tf.concat([local.monomials(), local.y], axis=0),
        )
        return tf.where(tf.expand_dims(local.is_accurate > 0, 1), rows, tf.zeros_like(rows))


class LocalForms(NamedTuple):
    """Quadratic forms around the center of some points.

    Attributes:
      ill_conditioned: components whose digits would cancel, which are left to whitened
        differences, int32 [R].
      is_accurate: one for the other components, else zero, [K].
      y: points in the frame, from their mean, [D, n].
      loc: m_k from the same mean, [K, D].
      slope: B_k m_k, [K, D].
    """

    ill_conditioned: tf.Tensor
    is_accurate: tf.Tensor
    y: tf.Tensor
    loc: tf.Tensor
    slope: tf.Tensor

    def monomials(self) -> tf.Tensor:
        """y_i y_j for i <= j, [D (D + 1) / 2, n]."""
        first, second = _upper_triangle(self.y.shape[0])
        return tf.gather(self.y, first) * tf.gather(self.y, second)


def _rank(loc: tf.Tensor, log_weights: tf.Tensor) -> tf.Tensor:
    """Places of components with means [K, D] in the frame, int32 [K].

    They are sorted by which of the heaviest ones is nearest, then by the distance from it.
    """
    count = tf.minimum(NUM_ANCHORS, tf.size(log_weights))
    anchors = tf.gather(loc, tf.math.top_k(log_weights, count).indices)
    distance = tf.norm(tf.expand_dims(loc, 1) - anchors, axis=2)  # [K, anchors]
    nearest = tf.cast(tf.argmin(distance, axis=1), distance.dtype)
    key = nearest * 2 * tf.reduce_max(distance) + tf.reduce_min(distance, axis=1)
    return tf.math.invert_permutation(tf.argsort(key))


def unpacked(triangle: tf.Tensor, dim: int) -> tf.Tensor:
    """Symmetric matrices [D, D, n] from their entries i <= j, [D (D + 1) / 2, n]."""
    first, second = _upper_triangle(dim)
    index = np.zeros([dim, dim], np.int32)
    index[first, second] = index[second, first] = np.arange(len(first))
    return tf.gather(triangle, index)


def _coefficients(dim: int, dtype: tf.DType) -> tf.Tensor:
    """What B_ij, i <= j, is multiplied by in the terms of y_i y_j of a log density."""
    first, second = _upper_triangle(dim)
    return tf.constant(np.where(first == second, -0.5, -1.0), dtype)


def _upper_triangle(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a matrix's upper triangle, int32 [D (D + 1) / 2] each."""
    first, second = np.triu_indices(dim)
    return first.astype(np.int32), second.astype(np.int32)
