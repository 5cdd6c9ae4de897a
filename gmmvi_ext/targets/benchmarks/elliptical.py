"""Mixtures of elliptical densities, exact in every respect: the base of the synthetic targets.

    p(x) = sum_k w_k |W_k| f(|z_k|^2),   z_k = W_k (x - mu_k)

with a radial density f (Gaussian or Student-t) and any square root W_k of the precision (inverse
shape) matrix, full or diagonal. One batched product [K, D, D] @ [K, D, N] gives all pairs;
differences are taken before the product, so that ill-conditioned shapes keep their digits in
float32. Points lie along the last axis, where vector instructions find many. All matrices are
prepared in float64.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.targets import pictures
from gmmvi_ext.targets.base import Target
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["EllipticalMixture", "GaussianMixture", "StudentTMixture"]

MODE_RADIUS = 6.0  # in units of sqrt(D): how close a component mean has to be to find a mode


class EllipticalMixture(Target):
    """Base class; subclasses say what is radial (`_radial`) and how a radius is drawn.

    Args:
      loc: centers, [K, D].
      inverse_scale: W_k with W_k^T W_k the precision (inverse shape) matrix, [K, D, D], or its
        diagonal [K, D].
      scale: its inverse, of the same shape; computed where None.
      log_weights: [K]; None for equal weights. They are normalized here.
      log_normalizer: log Z; the density is multiplied by Z.
      marginal_range: limits of the figure of the marginals.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import star
        >>> target = star()
        >>> target.num_components, target.sample(100, seed=[0, 1]).shape
        (5, TensorShape([100, 2]))
    """

    def __init__(
        self,
        loc: np.ndarray,
        inverse_scale: np.ndarray,
        *,
        scale: np.ndarray | None = None,
        log_weights: np.ndarray | None = None,
        log_normalizer: float = 0.0,
        marginal_range: tuple[float, float] | None = None,
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        loc = np.asarray(loc, np.float64)
        super().__init__(loc.shape[-1], dtype=dtype, name=name)
        inverse_scale = np.asarray(inverse_scale, np.float64)
        self.is_diagonal = inverse_scale.ndim == 2
        expected = loc.shape if self.is_diagonal else (*loc.shape, self.num_dimensions)
        if inverse_scale.shape != expected:
            raise ValueError(
                f"`inverse_scale` must have shape {expected} to go with `loc` {loc.shape}, "
                f"got {inverse_scale.shape}."
            )
        if self.is_diagonal:
            log_det, invert = np.log(np.abs(inverse_scale)).sum(axis=-1), np.reciprocal
        else:
            log_det, invert = np.linalg.slogdet(inverse_scale)[1], np.linalg.inv
        scale = invert(inverse_scale) if scale is None else np.asarray(scale, np.float64)
        log_weights = np.zeros(len(loc)) if log_weights is None else np.asarray(log_weights)
        log_weights = log_weights - np.logaddexp.reduce(log_weights)
        self.log_normalizer = float(log_normalizer)
        self.marginal_range = marginal_range
        self.loc = tf.constant(loc, self.dtype)
        self.log_weights = tf.constant(log_weights, self.dtype)
        self.scale = tf.constant(scale, self.dtype)
        self._inverse_scale = tf.constant(inverse_scale, self.dtype)
        self._log_coefficients = tf.constant(log_weights + log_det + log_normalizer, self.dtype)

    @property
    def num_components(self) -> int:
        """K."""
        return self.loc.shape[0]

    def _radial(self, squares: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """log f at |z|^2 [K, N], and the factor c in grad_z log f = -c z, [K, N]."""
        raise NotImplementedError

    def _stretch(self, num_samples: int, seed) -> tf.Tensor | None:
        """Factors [N] that turn Gaussian noise into draws of f; None for none."""
        return None

    def _parts(self, x: tf.Tensor):
        """z [K, D, N], weighted log densities [K, N] and radial slopes [K, N]."""
        centered = tf.transpose(x) - tf.expand_dims(self.loc, 2)  # [K, D, N]
        if self.is_diagonal:
            z = tf.expand_dims(self._inverse_scale, 2) * centered
        else:
            z = tf.linalg.matmul(self._inverse_scale, centered)
        log_radial, slopes = self._radial(tf.reduce_sum(tf.square(z), axis=1))
        return z, log_radial + tf.expand_dims(self._log_coefficients, 1), slopes

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        return tf.reduce_logsumexp(self._parts(x)[1], axis=0)

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        z, log_parts, slopes = self._parts(x)
        log_prob = tf.reduce_logsumexp(log_parts, axis=0)
        factors = tf.exp(log_parts - log_prob) * slopes  # responsibility times slope, [K, N]
        z *= tf.expand_dims(factors, 1)
        if self.is_diagonal:
            pulls = tf.einsum("kd,kdn->nd", self._inverse_scale, z)
        else:  # the sum over components lies inside the product
            maps = tf.reshape(self._inverse_scale, [-1, self.num_dimensions])  # [K D, D]
            pulls = tf.matmul(tf.reshape(z, [-1, tf.shape(x)[0]]), maps, transpose_a=True)
        return log_prob, -pulls

    def sample(self, num_samples: int, seed: Seed) -> tf.Tensor:
        seeds = tf.random.split(seed, 3)
        index = tf.random.stateless_categorical(
            tf.expand_dims(self.log_weights, 0), num_samples, seeds[0], dtype=tf.int32
        )[0]
        noise = tf.random.stateless_normal(
            [num_samples, self.num_dimensions], seeds[1], dtype=self.dtype
        )
        if self.is_diagonal:
            draws = tf.gather(self.scale, index) * noise
        else:
            draws = _multiply_by_component(self.scale, noise, index)
        stretch = self._stretch(num_samples, seeds[2])
        if stretch is not None:
            draws *= tf.expand_dims(stretch, 1)
        return tf.gather(self.loc, index) + draws

    def metrics(self, mixture: Mixture, samples: tf.Tensor) -> dict[str, float]:
        """`num_detected_modes`: centers with a component mean closer than 6 sqrt(D)."""
        differences = tf.expand_dims(self.loc, 1) - tf.cast(mixture.components.loc, self.dtype)
        nearest = tf.reduce_min(tf.norm(differences, axis=-1), axis=1)
        radius = MODE_RADIUS * math.sqrt(self.num_dimensions)
        return {"num_detected_modes": float(np.sum(nearest.numpy() < radius))}

    def marginal_log_prob(self, grid: np.ndarray, dims: Sequence[int]) -> np.ndarray:
        """Log densities of the coordinates `dims` on a grid: [G] points, [len(dims), G] values.

        The density is normalized here, whatever log Z is.
        """
        loc = self.loc.numpy()[:, list(dims), None]  # [K, M, 1]
        spread = self.spread()[:, list(dims), None]
        values = self._marginal_radial((grid - loc) / spread) - np.log(spread)
        return np.logaddexp.reduce(values + self.log_weights.numpy()[:, None, None], axis=0)

    def spread(self) -> np.ndarray:
        """Scale of every coordinate under every component, [K, D]."""
        scale = self.scale.numpy()
        return np.abs(scale) if self.is_diagonal else np.linalg.norm(scale, axis=-1)

    def _marginal_radial(self, t: np.ndarray) -> np.ndarray:
        """Log density of one coordinate of a standard draw of f."""
        raise NotImplementedError

    def figures(self, mixture: Mixture, samples: tf.Tensor) -> dict:
        """`marginals` of the first coordinates."""
        return {"marginals": pictures.marginals(self, mixture, self.marginal_range)}


class GaussianMixture(EllipticalMixture):
    """Mixture of Gaussians given by means and covariances.

    Args:
      loc: means, [K, D].
      covariance: covariances, [K, D, D], or their diagonals, [K, D].
      **options: those of `EllipticalMixture`.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import GaussianMixture
        >>> target = GaussianMixture(np.array([[-3.0], [3.0]]), np.ones([2, 1]))
        >>> print(target.log_prob([[-3.0], [0.0]]).numpy().round(3), target.log_normalizer)
        [-1.612 -5.419] 0.0
    """

    def __init__(self, loc: np.ndarray, covariance: np.ndarray, **options: Any):
        covariance = np.asarray(covariance, np.float64)
        if covariance.ndim == 2:
            scale = np.sqrt(covariance)
            super().__init__(loc, 1.0 / scale, scale=scale, **options)
        else:
            scale = np.linalg.cholesky(covariance)
            super().__init__(loc, np.linalg.inv(scale), scale=scale, **options)

    def _radial(self, squares):
        constant = 0.5 * self.num_dimensions * math.log(2.0 * math.pi)
        return -0.5 * squares - constant, tf.ones_like(squares)

    def _marginal_radial(self, t):
        return -0.5 * t**2 - 0.5 * math.log(2.0 * math.pi)


class StudentTMixture(EllipticalMixture):
    """Mixture of multivariate Student-t densities given by the *inverses* of their shape matrices.

    Args:
      loc: centers, [K, D].
      precision: inverse shape matrices, [K, D, D]; never inverted, however ill-conditioned.
      df: degrees of freedom.
      **options: those of `EllipticalMixture`.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import StudentTMixture
        >>> target = StudentTMixture(np.zeros([1, 1]), np.ones([1, 1, 1]), df=1.0)  # Cauchy
        >>> print(tf.exp(target.log_prob([[0.0], [1.0]])).numpy().round(3))  # 1 / pi, 1 / 2 pi
        [0.318 0.159]
    """

    def __init__(self, loc: np.ndarray, precision: np.ndarray, *, df: float = 2.0, **options: Any):
        if not df > 0:
            raise ValueError(f"`df` must be positive, got {df}.")
        self.df = float(df)
        # precision = G G^T gives W = G^T: no detour over the shape matrix
        root = np.linalg.cholesky(np.asarray(precision, np.float64))
        super().__init__(loc, np.swapaxes(root, -1, -2), **options)

    def _radial(self, squares):
        dim, df = self.num_dimensions, self.df
        constant = math.lgamma(0.5 * (df + dim)) - math.lgamma(0.5 * df)
        constant -= 0.5 * dim * math.log(df * math.pi)
        log_density = constant - 0.5 * (df + dim) * tf.math.log1p(squares / df)
        return log_density, (df + dim) / (df + squares)

    def _stretch(self, num_samples, seed):
        half = tf.random.stateless_gamma([num_samples], seed, alpha=0.5 * self.df, dtype=self.dtype)
        tiny = self.dtype.as_numpy_dtype(np.finfo(self.dtype.as_numpy_dtype).tiny)
        return tf.math.rsqrt(tf.maximum(half, tiny) * (2.0 / self.df))

    def _marginal_radial(self, t):
        df = self.df
        constant = math.lgamma(0.5 * (df + 1)) - math.lgamma(0.5 * df)
        return constant - 0.5 * math.log(df * math.pi) - 0.5 * (df + 1) * np.log1p(t**2 / df)


def _multiply_by_component(matrices: tf.Tensor, vectors: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """matrices[index[n]] @ vectors[n] for all n, [N, D], without gathering N matrices.

    Vectors are laid out by component in [K, M, D], M the largest count, multiplied, and taken back.
    """
    num_components, dim = matrices.shape[0], vectors.shape[1]
    counts = tf.math.bincount(index, minlength=num_components)
    order = tf.argsort(index, stable=True)
    starts = tf.math.cumsum(counts, exclusive=True)
    sorted_index = tf.gather(index, order)
    ranks = tf.range(tf.shape(index)[0]) - tf.gather(starts, sorted_index)
    slots = tf.stack([sorted_index, ranks], axis=-1)  # [N, 2], in component order
    shape = tf.stack([num_components, tf.reduce_max(counts), dim])
    laid_out = tf.scatter_nd(slots, tf.gather(vectors, order), shape)
    products = tf.linalg.matmul(laid_out, matrices, transpose_b=True)
    back = tf.math.invert_permutation(order)
    return tf.gather_nd(products, tf.gather(slots, back))
