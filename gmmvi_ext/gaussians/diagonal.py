"""Gaussians with diagonal covariance, batched over components (see `full` for the letters)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

__all__ = ["DiagonalGaussians"]


class DiagonalGaussians(NamedTuple):
    """K axis-aligned Gaussians on R^D.

    Attributes:
      loc: means, [K, D].
      scale_diag: standard deviations, [K, D].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians
        >>> two = DiagonalGaussians(tf.zeros([2, 3]), tf.constant([[1.0] * 3, [2.0] * 3]))
        >>> print(two.covariances()[1].numpy())
        [[4. 0. 0.]
         [0. 4. 0.]
         [0. 0. 4.]]
    """

    loc: tf.Tensor
    scale_diag: tf.Tensor

    @property
    def dtype(self) -> tf.DType:
        return self.loc.dtype

    @property
    def num_components(self) -> tf.Tensor:
        return tf.shape(self.loc)[0]

    @property
    def num_dimensions(self) -> int:
        return self.loc.shape[-1]

    def whiten(self, x: tf.Tensor) -> tf.Tensor:
        """z [N, K, D] of points x [N, D] under every component."""
        return (tf.expand_dims(x, 1) - self.loc) / self.scale_diag

    def log_det_scale(self) -> tf.Tensor:
        """Sum of the log standard deviations, [K]."""
        return tf.reduce_sum(tf.math.log(self.scale_diag), axis=-1)

    def log_prob_from_whitened(self, z: tf.Tensor) -> tf.Tensor:
        """log N_k [N, K] from z [N, K, D]."""
        constant = 0.5 * self.num_dimensions * math.log(2 * math.pi)
        return -0.5 * tf.reduce_sum(z * z, axis=-1) - (self.log_det_scale() + constant)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log N_k(x_n), [N, K]."""
        return self.log_prob_from_whitened(self.whiten(x))

    def for_evaluation(self) -> "DiagonalGaussians":
        """What densities need: nothing is worth preparing."""
        return self

    def log_prob_fn(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from points [N, D] to log N_k(x_n), [N, K]."""
        return self.log_prob

    def log_prob_rows_fn(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The same with a row for each component, [K, N]."""
        return lambda x: tf.transpose(self.log_prob(x))

    def mixture_score(self, x: tf.Tensor, responsibilities: tf.Tensor) -> tf.Tensor:
        """Gradient of the mixture's log density, [N, D], by two products [N, K] @ [K, D]."""
        precision = 1.0 / tf.square(self.scale_diag)
        center = tf.reduce_mean(self.loc, axis=0)
        pulled = tf.matmul(responsibilities, precision * (self.loc - center))
        return pulled - tf.matmul(responsibilities, precision) * (x - center)

    def sample_each(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """S draws of every component, [K, S, D]."""
        shape = tf.stack([self.num_components, num_samples, self.num_dimensions])
        noise = tf.random.stateless_normal(shape, seed, dtype=self.dtype)
        return tf.expand_dims(self.loc, 1) + noise * tf.expand_dims(self.scale_diag, 1)

    def entropy(self) -> tf.Tensor:
        """Differential entropies in nats, [K]."""
        return self.log_det_scale() + 0.5 * self.num_dimensions * (1 + math.log(2 * math.pi))

    def covariances(self) -> tf.Tensor:
        """Covariance matrices, [K, D, D]."""
        return tf.linalg.diag(tf.square(self.scale_diag))

    def stddevs(self) -> tf.Tensor:
        """Standard deviation of each coordinate, [K, D]."""
        return self.scale_diag

    def isotropic(self, loc: tf.Tensor, stddev: tf.Tensor) -> "DiagonalGaussians":
        """Members of the same family; `loc` and `stddev` are [K', D]."""
        return DiagonalGaussians(loc, stddev)

    def kl_divergence(self, other: "DiagonalGaussians") -> tf.Tensor:
        """KL(self_k || other_k), [K]."""
        ratio = self.scale_diag / other.scale_diag
        shift = (other.loc - self.loc) / other.scale_diag
        log_ratio = other.log_det_scale() - self.log_det_scale()
        squares = tf.reduce_sum(tf.square(ratio) + tf.square(shift), axis=-1)
        return log_ratio + 0.5 * (squares - self.num_dimensions)

    def marginal(self, dims: tuple[int, ...]) -> "DiagonalGaussians":
        """Marginals of the coordinates `dims`, in that order."""
        return DiagonalGaussians(
            tf.gather(self.loc, dims, axis=-1), tf.gather(self.scale_diag, dims, axis=-1)
        )

    def condition(
        self, dims: tuple[int, ...], values: tf.Tensor
    ) -> tuple["DiagonalGaussians", tf.Tensor]:
        """Conditionals of the other coordinates, and log N_k(x[dims] = values), [K]."""
        rest = tuple(i for i in range(self.num_dimensions) if i not in dims)
        evidence = self.marginal(dims).log_prob(tf.reshape(values, [1, -1]))[0]
        return self.marginal(rest), evidence
