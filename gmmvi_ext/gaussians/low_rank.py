"""Gaussians with low-rank plus diagonal covariance, batched over components (see `full`).

    Sigma_k = diag(d_k) + V_k V_k^T,    V_k of R columns

With W = diag(d)^{-1/2} V and B = W P, s^2 from the R x R eigenproblem W^T W = P diag(s^2) P^T,
everything costs O(D R) a point: for u = diag(d)^{-1/2} (x - mu)

    Sigma^{-1}  ~  I - B diag(1 / (1 + s^2)) B^T            (Woodbury, in the coordinates of u)
    z = u - B diag(1 / (sqrt(1 + s^2) (1 + sqrt(1 + s^2)))) B^T u,      |z|^2 = Mahalanobis distance
    log |Sigma| = sum log d + sum log(1 + s^2).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians.full import FullGaussians
from gmmvi_ext.math.linalg import symmetrize

__all__ = ["LowRankGaussians", "nearest_low_rank"]


class LowRankGaussians(NamedTuple):
    """K Gaussians on R^D.

    Attributes:
      loc: means, [K, D].
      cov_diag_factor: diagonal part of the covariances, positive, [K, D].
      cov_perturb_factor: V, [K, D, R].

    Example:
        >>> from gmmvi_ext.gaussians import LowRankGaussians
        >>> direction = tf.constant([[[1.0], [2.0], [0.0]]])
        >>> one = LowRankGaussians(tf.zeros([1, 3]), tf.ones([1, 3]), cov_perturb_factor=direction)
        >>> print(one.covariances()[0].numpy())
        [[2. 2. 0.]
         [2. 5. 0.]
         [0. 0. 1.]]
    """

    loc: tf.Tensor
    cov_diag_factor: tf.Tensor
    cov_perturb_factor: tf.Tensor

    @property
    def dtype(self) -> tf.DType:
        return self.loc.dtype

    @property
    def num_components(self) -> tf.Tensor:
        return tf.shape(self.loc)[0]

    @property
    def num_dimensions(self) -> int:
        return self.loc.shape[-1]

    @property
    def rank(self) -> int:
        """R."""
        return self.cov_perturb_factor.shape[-1]

    def scaled_factor(self) -> tuple[tf.Tensor, tf.Tensor]:
        """B [K, D, R], of orthogonal columns, and their squared lengths s^2 [K, R]."""
        scaled = self.cov_perturb_factor / tf.expand_dims(tf.sqrt(self.cov_diag_factor), -1)
        squares, rotation = tf.linalg.eigh(symmetrize(tf.matmul(scaled, scaled, transpose_a=True)))
        return tf.matmul(scaled, rotation), tf.maximum(squares, 0.0)

    def _centered(self, x: tf.Tensor) -> tf.Tensor:
        """u of points x [N, D], component first, [K, N, D]."""
        return (x - tf.expand_dims(self.loc, 1)) / tf.expand_dims(tf.sqrt(self.cov_diag_factor), 1)

    def whiten(self, x: tf.Tensor) -> tf.Tensor:
        """z [N, K, D] of points x [N, D] under every component."""
        factor, squares = self.scaled_factor()
        u, root = self._centered(x), tf.sqrt(1.0 + squares)
        shrink = 1.0 / (root * (1.0 + root))
        shift = tf.matmul(
            tf.matmul(u, factor) * tf.expand_dims(shrink, 1), factor, transpose_b=True
        )
        return tf.transpose(u - shift, [1, 0, 2])

    def log_det_scale(self) -> tf.Tensor:
        """Half the log determinants of the covariances, [K]."""
        _, squares = self.scaled_factor()
        logs = tf.reduce_sum(tf.math.log(self.cov_diag_factor), -1)
        return 0.5 * (logs + tf.reduce_sum(tf.math.log1p(squares), -1))

    def log_prob_from_whitened(self, z: tf.Tensor) -> tf.Tensor:
        """log N_k [N, K] from z [N, K, D]."""
        constant = 0.5 * self.num_dimensions * math.log(2 * math.pi)
        return -0.5 * tf.reduce_sum(z * z, axis=-1) - (self.log_det_scale() + constant)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log N_k(x_n), [N, K]."""
        return self.log_prob_from_whitened(self.whiten(x))

    def for_evaluation(self) -> "LowRankGaussians":
        """What densities need: nothing is worth preparing."""
        return self

    def log_prob_fn(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from points [N, D] to log N_k(x_n), [N, K]."""
        return self.log_prob

    def log_prob_rows_fn(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The same with a row for each component, [K, N]."""
        return lambda x: tf.transpose(self.log_prob(x))

    def mixture_score(self, x: tf.Tensor, responsibilities: tf.Tensor) -> tf.Tensor:
        """Gradient of log q, -sum_k gamma_nk Sigma_k^{-1} (x_n - mu_k), [N, D]."""
        factor, squares = self.scaled_factor()
        u = self._centered(x) * tf.expand_dims(tf.transpose(responsibilities), -1)
        inner = tf.matmul(u, factor) / tf.expand_dims(1.0 + squares, 1)
        solved = u - tf.matmul(inner, factor, transpose_b=True)  # [K, N, D]
        return -tf.reduce_sum(solved / tf.expand_dims(tf.sqrt(self.cov_diag_factor), 1), axis=0)

    def sample_each(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """S draws of every component, [K, S, D]."""
        seeds = tf.random.split(seed, 2)
        shape = tf.stack([self.num_components, num_samples, self.num_dimensions])
        noise = tf.random.stateless_normal(shape, seeds[0], dtype=self.dtype)
        shape = tf.stack([self.num_components, num_samples, self.rank])
        common = tf.random.stateless_normal(shape, seeds[1], dtype=self.dtype)
        spread = noise * tf.expand_dims(tf.sqrt(self.cov_diag_factor), 1)
        spread += tf.matmul(common, self.cov_perturb_factor, transpose_b=True)
        return tf.expand_dims(self.loc, 1) + spread

    def entropy(self) -> tf.Tensor:
        """Differential entropies in nats, [K]."""
        return self.log_det_scale() + 0.5 * self.num_dimensions * (1 + math.log(2 * math.pi))

    def covariances(self) -> tf.Tensor:
        """Covariance matrices, [K, D, D]."""
        factor = self.cov_perturb_factor
        return tf.linalg.diag(self.cov_diag_factor) + tf.matmul(factor, factor, transpose_b=True)

    def stddevs(self) -> tf.Tensor:
        """Standard deviation of each coordinate, [K, D]."""
        return tf.sqrt(self.cov_diag_factor + tf.reduce_sum(self.cov_perturb_factor**2, -1))

    def to_full(self) -> FullGaussians:
        """The same Gaussians with Cholesky factors."""
        return FullGaussians(self.loc, tf.linalg.cholesky(self.covariances()))

    def isotropic(self, loc: tf.Tensor, stddev: tf.Tensor) -> "LowRankGaussians":
        """Members of the same family without correlations; `loc` and `stddev` are [K', D]."""
        shape = tf.concat([tf.shape(loc), [self.rank]], axis=0)
        return LowRankGaussians(loc, tf.square(stddev), tf.zeros(shape, self.dtype))

    def kl_divergence(self, other: Any) -> tf.Tensor:
        """KL(self_k || other_k), [K], through Cholesky factors."""
        other = other.to_full() if isinstance(other, LowRankGaussians) else other
        return self.to_full().kl_divergence(other)

    def marginal(self, dims: tuple[int, ...]) -> "LowRankGaussians":
        """Marginals of the coordinates `dims`, in that order."""
        return LowRankGaussians(
            tf.gather(self.loc, dims, axis=-1),
            tf.gather(self.cov_diag_factor, dims, axis=-1),
            tf.gather(self.cov_perturb_factor, dims, axis=-2),
        )

    def condition(
        self, dims: tuple[int, ...], values: tf.Tensor
    ) -> tuple[FullGaussians, tf.Tensor]:
        """Conditionals of the others (with full covariance), and log N_k(values), [K]."""
        return self.to_full().condition(dims, values)


def nearest_low_rank(
    loc: tf.Tensor, covariance: tf.Tensor, diag_factor: tf.Tensor, rank: int
) -> LowRankGaussians:
    """Projection of full covariances on the family.

    In coordinates scaled by `diag_factor`, the `rank` leading directions whose variance exceeds one
    are kept; all other variance goes to the diagonal, so that every coordinate keeps its variance.
    A covariance diag(diag_factor) + V V^T comes back unchanged, and with rank = D any covariance
    does.

    Args:
      loc: [K, D].
      covariance: [K, D, D].
      diag_factor: scale of the coordinates, [K, D].
      rank: R <= D.

    Example:
        >>> from gmmvi_ext.gaussians import nearest_low_rank
        >>> covariance = tf.linalg.diag([[9.0, 4.0, 1.0]])
        >>> one = nearest_low_rank(tf.zeros([1, 3]), covariance, tf.ones([1, 3]), rank=1)
        >>> print(abs(one.cov_perturb_factor[0, :, 0]).numpy().round(3))  # 1 + 2.828^2 = 9
        [2.828 0.    0.   ]
        >>> print(one.cov_diag_factor.numpy().round(3))
        [[1. 4. 1.]]
    """
    scale = tf.sqrt(diag_factor)
    scaled = covariance / (tf.expand_dims(scale, -1) * tf.expand_dims(scale, 1))
    variances, directions = tf.linalg.eigh(symmetrize(scaled))
    if rank == loc.shape[-1]:
        # Any diagonal below the smallest variance will do.
        share = 0.5 * variances[:, :1]
        factor = directions * tf.expand_dims(tf.sqrt(tf.maximum(variances - share, 0.0)), 1)
        diag = diag_factor * share
    else:
        kept, directions = variances[:, -rank:], directions[..., -rank:]
        factor = directions * tf.expand_dims(tf.sqrt(tf.maximum(kept - 1.0, 0.0)), 1)
        rest = tf.linalg.diag_part(scaled) - tf.reduce_sum(tf.square(factor), axis=-1)
        diag = diag_factor * rest
    return LowRankGaussians(loc, diag, tf.expand_dims(scale, -1) * factor)
