"""Poisson factor model as a scikit-learn estimator."""

import numpy as np
import tensorflow as tf
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from gmmvi_ext.factors.bounds import check_mode, make_terms, poisson_bound
from gmmvi_ext.factors.factor_step import factor_step
from gmmvi_ext.factors.multiplicative import (
    forgetful_update,
    forgetting_rate,
    multiplicative_update,
)
from gmmvi_ext.math.casting import floating_dtype, to_dtype
from gmmvi_ext.math.count_products import to_counts
from gmmvi_ext.ranges import NON_NEGATIVE, POSITIVE, require, require_count, require_switches
from gmmvi_ext.types import TensorLike

__all__ = ["PoissonFactorModel"]

CHECK_EVERY = 10  # iterations between looks at the bound
START_SCALE = 0.3
SMALL_RATE = 1e-3  # features that never occur start above zero
WARM_UP = 100  # iterations before the prior is learned: the factors must have spread first
MIN_PRIOR_SCALE = 1e-2


class PoissonFactorModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Counts X [n_samples, n_features] ~ Poisson(e^F components_), with a posterior over F.

    Weights are learned by multiplicative updates, the Gaussian posterior of the log factors by
    natural gradients, the prior scales by their closed-form optimum.

    Args:
      n_components: number of factors L.
      mode: bound, "lower-bound" (no sampling), "expanded" or "simple".
      max_iter: iterations of `fit`; each passes over the data twice.
      tol: `fit` stops once ten iterations raise the bound by less than this share.
      transform_iter: iterations of `transform`.
      stepsize: of the natural steps.
      prior_scale: s0 at the start, or throughout if `learn_prior` is False.
      learn_prior: whether to learn one s0 per factor, after the first iterations.
      n_samples: draws of F, for the sampled modes.
      dtype: "float32" or "float64".
      seed: of the start and the noise.
      verbose: whether to show a progress bar.

    Attributes:
      components_: weights, [n_components, n_features].
      prior_scale_: [n_components].
      loc_, scale_: posterior of the training factors, [n_samples, n_components].
      bounds_: bound after every tenth iteration.
      n_iter_: iterations done.

    Example:
        >>> from gmmvi_ext.factors import PoissonFactorModel
        >>> counts = np.array([[1, 9, 1]] * 4 + [[9, 1, 9]] * 4)
        >>> model = PoissonFactorModel(n_components=2, max_iter=3).fit(counts)
        >>> model.components_.shape, model.transform(counts).shape
        ((2, 3), (8, 2))
    """

    def __init__(
        self,
        n_components: int = 10,
        *,
        mode: str = "lower-bound",
        max_iter: int = 200,
        tol: float = 1e-5,
        transform_iter: int = 50,
        stepsize: float = 1.0,
        prior_scale: float = 2.5,
        learn_prior: bool = False,
        n_samples: int = 3,
        dtype: str = "float32",
        seed: int = 0,
        verbose: bool = False,
    ):
        self.n_components = n_components
        self.mode = mode
        self.max_iter = max_iter
        self.tol = tol
        self.transform_iter = transform_iter
        self.stepsize = stepsize
        self.prior_scale = prior_scale
        self.learn_prior = learn_prior
        self.n_samples = n_samples
        self.dtype = dtype
        self.seed = seed
        self.verbose = verbose

    def fit(self, X: TensorLike, y: TensorLike | None = None) -> "PoissonFactorModel":
        """Learns weights and prior from counts, dense or scipy-sparse."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: TensorLike, y: TensorLike | None = None) -> np.ndarray:
        """As `fit`; returns the posterior means of e^F, [n_samples, n_components]."""
        counts = self._counts(X, reset=True)
        weights, loc, scale, prior = self._start(counts)
        step = self._compiled(learn=True)
        self.bounds_: list[float] = []
        self.n_iter_ = 0
        for iteration in self._progress(self.max_iter):
            seed = tf.constant([self.seed, iteration])
            weights, loc, scale, prior = step(counts, weights, loc, scale, prior, seed)
            self.n_iter_ = iteration + 1
            if self.n_iter_ % CHECK_EVERY == 0 and self._converged(
                counts, weights, loc, scale, prior
            ):
                break
        self._weights, self.prior_scale_ = weights.numpy(), prior.numpy()
        self.components_ = self._weights.T
        self.loc_, self.scale_ = loc.numpy().T, scale.numpy().T
        return np.exp(self.loc_ + 0.5 * self.scale_**2)

    def partial_fit(
        self, X: TensorLike, y: TensorLike | None = None, *, n_total: int | None = None
    ) -> "PoissonFactorModel":
        """One update of the weights from a batch of samples, with forgetting.

        Args:
          X: batch of counts.
          y: ignored.
          n_total: number of samples in all; sets the scale of the averages only.
        """
        fresh = not hasattr(self, "_weights")
        counts = self._counts(X, reset=fresh)
        if fresh:
            weights, _, _, prior = self._start(counts)
            self._weights, self.prior_scale_ = weights.numpy(), prior.numpy()
            self._averages, self._num_batches = None, 0
        loc, scale = self._infer(counts, self.transform_iter)
        terms = make_terms(loc, scale, self.mode, num_samples=self.n_samples, seed=(self.seed, 1))
        batch = counts.shape[1]
        weights, self._averages = forgetful_update(
            counts,
            tf.constant(self._weights),
            terms,
            self._averages,
            rate=forgetting_rate(self._num_batches),
            scale=(n_total or batch) / batch,
        )
        self._num_batches += 1
        self._weights = weights.numpy()
        self.components_ = self._weights.T
        return self

    def transform(self, X: TensorLike) -> np.ndarray:
        """Posterior means of e^F of new samples, [n_samples, n_components]."""
        loc, scale = self.posterior(X)
        return np.exp(loc + 0.5 * scale**2)

    def posterior(self, X: TensorLike) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the log factors, [n_samples, n_components] each."""
        check_is_fitted(self, "components_")
        loc, scale = self._infer(self._counts(X), self.transform_iter)
        return loc.numpy().T, scale.numpy().T

    def inverse_transform(self, factors: TensorLike) -> np.ndarray:
        """Rates [n_samples, n_features] of factors e^F."""
        check_is_fitted(self, "components_")
        return np.asarray(factors) @ self.components_

    def score(self, X: TensorLike, y: TensorLike | None = None) -> float:
        """Bound on the log likelihood per sample; higher is better."""
        check_is_fitted(self, "components_")
        counts = self._counts(X)
        loc, scale = self._infer(counts, self.transform_iter)
        bound = self._bound(counts, tf.constant(self._weights), loc, scale, self.prior_scale_)
        return float(bound) / counts.shape[1]

    def _counts(self, X, *, reset: bool = False):
        """Checked counts as a tensor [n_features, n_samples]."""
        check_mode(self.mode)
        for name in ("n_components", "max_iter", "transform_iter", "n_samples"):
            require_count(name, getattr(self, name))
        require_count("seed", self.seed, at_least=0)
        for name in ("stepsize", "prior_scale", "tol"):
            allowed = NON_NEGATIVE if name == "tol" else POSITIVE
            require(getattr(self, name) in allowed, name, str(allowed), getattr(self, name))
        require_switches(learn_prior=self.learn_prior, verbose=self.verbose)
        if np.ma.isMaskedArray(X) and np.ma.is_masked(X):
            raise ValueError(
                "`X` is a masked array, and masks are not read; fill or drop the entries first."
            )
        dtype = floating_dtype(self.dtype)
        X = validate_data(self, X, accept_sparse="csr", dtype=dtype.as_numpy_dtype, reset=reset)
        lowest = X.data.min(initial=0) if hasattr(X, "tocoo") else X.min(initial=0)
        if lowest < 0:
            raise ValueError(f"`X` must hold counts >= 0, got {lowest}.")
        return to_counts(X.T, dtype)

    def _start(self, counts):
        """Weights near the mean rates, factors near the size of each sample, the prior as given.

        Nearly equal factors that part slowly end at better optima than random or SVD starts.
        """
        dtype = tf.as_dtype(self.dtype)
        dense = tf.sparse.reduce_sum if isinstance(counts, tf.SparseTensor) else tf.reduce_sum
        rates = dense(counts, axis=1) / counts.shape[1] + SMALL_RATE  # [D]
        shape = [counts.shape[0], self.n_components]
        jitter = tf.random.stateless_uniform(shape, [self.seed, 17], 0.2, 1.8, dtype=dtype)
        weights = rates[:, tf.newaxis] * jitter / self.n_components
        loc, scale = self._start_factors(counts)
        prior = tf.fill([self.n_components], to_dtype(self.prior_scale, dtype))
        return weights, loc, scale, prior

    def _start_factors(self, counts):
        dense = tf.sparse.reduce_sum if isinstance(counts, tf.SparseTensor) else tf.reduce_sum
        sizes = dense(counts, axis=0) + 1
        loc = tf.math.log(sizes / tf.reduce_mean(sizes))
        loc = tf.tile(loc[tf.newaxis], [self.n_components, 1])
        return loc, tf.fill(tf.shape(loc), to_dtype(START_SCALE, loc.dtype))

    def _infer(self, counts, num_iterations):
        weights, prior = tf.constant(self._weights), tf.constant(self.prior_scale_)
        loc, scale = self._start_factors(counts)
        step = self._compiled(learn=False)
        for iteration in range(num_iterations):
            seed = tf.constant([self.seed, iteration])
            weights, loc, scale, prior = step(counts, weights, loc, scale, prior, seed)
        return loc, scale

    def _compiled(self, *, learn: bool):
        """One iteration as a traced function; `learn` also moves weights and prior."""
        warm = tf.constant(WARM_UP)

        def iteration(counts, weights, loc, scale, prior, seed):
            loc, scale = factor_step(
                counts,
                weights,
                loc,
                scale,
                prior,
                mode=self.mode,
                stepsize=self.stepsize,
                num_samples=self.n_samples,
                seed=seed,
            )
            if learn:
                terms = make_terms(loc, scale, self.mode, num_samples=self.n_samples, seed=seed)
                weights = multiplicative_update(counts, weights, terms)
                if self.learn_prior:
                    square = tf.reduce_mean(tf.square(loc) + tf.square(scale), axis=1)
                    learned = tf.sqrt(tf.maximum(square, MIN_PRIOR_SCALE**2))
                    prior = tf.where(seed[1] >= warm, learned, prior)
            return weights, loc, scale, prior

        return tf.function(iteration)

    def _bound(self, counts, weights, loc, scale, prior):
        return poisson_bound(
            counts,
            weights,
            loc,
            scale,
            prior,
            mode=self.mode,
            num_samples=self.n_samples,
            seed=(self.seed, 0),
        )

    def _converged(self, counts, weights, loc, scale, prior) -> bool:
        self.bounds_.append(float(self._bound(counts, weights, loc, scale, prior)))
        if len(self.bounds_) < 2:
            return False
        gain = self.bounds_[-1] - self.bounds_[-2]
        return abs(gain) < self.tol * abs(self.bounds_[-1])

    def _progress(self, total: int):
        if not self.verbose:
            return range(total)
        from rich.progress import track

        return track(range(total), description="Poisson factors")

    @property
    def _n_features_out(self) -> int:
        """For the names of the columns that `transform` returns."""
        return self.components_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags
