"""Bayesian logistic regression, on all data or on minibatches.

    p(w) = N(0, prior_std^2 I),   p(y = 1 | x) = sigmoid(-x^T w)

with a leading column of ones and every other column divided by its population standard deviation
(not centered). The minus sign in the likelihood is the convention of the GMMVI benchmarks; it
mirrors the posterior and changes nothing else.

With `size_test_set` the last rows are held out; they enter the metrics `test_accuracy` (of the
posterior predictive) and `test_loss` (its mean negative log probability).

References:
  Arenz et al. (2023), A Unified Perspective on Natural Gradient Variational Inference with Gaussian
  Mixture Models, section 5 and appendix.
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext import gaussians
from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.data import RegressionData
from gmmvi_ext.targets.minibatch import group_by_block, shuffled_blocks, ungroup
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["LogisticRegression", "MinibatchLogisticRegression"]


class LogisticRegression(Target):
    """Posterior of the weights of a logistic regression.

    Args:
      data: raw features [M, F] and labels in {0, 1} [M]; scaled here.
      prior_std: standard deviation of the Gaussian prior of every weight.
      size_test_set: number of rows at the end that are held out for the metrics.

    Attributes:
      signed_design: columns of the training rows, times the sign of the label, [M, D].

    Example:
        >>> from gmmvi_ext.targets.benchmarks import LogisticRegression
        >>> from gmmvi_ext.targets.data import RegressionData
        >>> features = np.array([[-2.0], [-1.0], [1.0], [2.0]])
        >>> data = RegressionData(features, np.array([0, 0, 1, 1]), ("dose",))
        >>> log_prob = LogisticRegression(data).log_prob(tf.constant([[0.0, 1.0], [1.0, 0.0]]))
        >>> log_prob.shape
        TensorShape([2])
    """

    data_size: int

    def __init__(
        self,
        data: RegressionData,
        *,
        prior_std: float = 10.0,
        size_test_set: int = 0,
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        features, labels = np.asarray(data.features, np.float64), np.asarray(data.labels)
        if not 0 <= size_test_set < len(features):
            raise ValueError(
                f"`size_test_set` must be in [0, {len(features)}), got {size_test_set}."
            )
        if not prior_std > 0:
            raise ValueError(f"`prior_std` must be positive, got {prior_std}.")
        super().__init__(features.shape[1] + 1, dtype=dtype, name=name)
        design = np.column_stack([np.ones(len(features)), features / features.std(axis=0)])
        # The margin of row m is signed_design[m] @ w: its log likelihood is log sigmoid(margin).
        signed = np.where(labels == 1, -1.0, 1.0)[:, None] * design
        num_train = len(features) - size_test_set
        self.parameter_names = ("intercept", *data.names)
        self.data_size = num_train
        self.prior_std = float(prior_std)
        self.signed_design = tf.constant(signed[:num_train], self.dtype)  # [M, D]
        self._signed_test_design = tf.constant(signed[num_train:], self.dtype)

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        return self._log_likelihood(x)[0] + self.log_prior(x)

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        values, slopes = self._log_likelihood(x)
        grads = tf.linalg.matmul(slopes, self.signed_design)
        return values + self.log_prior(x), grads - x / self.prior_std**2

    def _log_likelihood(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Sum over the data [N], and the derivative by each margin [N, M]."""
        margins = tf.linalg.matmul(x, self.signed_design, transpose_b=True)  # [N, M]
        return -tf.reduce_sum(tf.math.softplus(-margins), axis=-1), tf.math.sigmoid(-margins)

    def log_prior(self, x: tf.Tensor) -> tf.Tensor:
        """Log density of the prior, [N]."""
        log_constant = -0.5 * math.log(2.0 * math.pi) - math.log(self.prior_std)
        squares = tf.reduce_sum(tf.square(x), axis=-1) / self.prior_std**2
        return self.num_dimensions * log_constant - 0.5 * squares

    def metrics(self, mixture: Mixture, samples: tf.Tensor) -> dict[str, float]:
        """`test_accuracy` and `test_loss` of the posterior predictive, where rows are held out."""
        if not self._signed_test_design.shape[0]:
            return {}
        margins = tf.linalg.matmul(samples, self._signed_test_design, transpose_b=True)
        log_num_samples = tf.math.log(tf.cast(tf.shape(samples)[0], self.dtype))
        # log of the mean predictive probability of the label that was observed  # [M_test]
        log_label = tf.reduce_logsumexp(tf.math.log_sigmoid(margins), axis=0) - log_num_samples
        log_other = tf.reduce_logsumexp(tf.math.log_sigmoid(-margins), axis=0) - log_num_samples
        return {
            "test_accuracy": float(np.mean(log_label.numpy() > log_other.numpy())),
            "test_loss": float(-np.mean(log_label.numpy())),
        }


class MinibatchLogisticRegression(LogisticRegression):
    """The same posterior, estimated on minibatches: unbiased values that depend on `seed`.

    The log likelihood of a sample is M times the mean over its batch. With a seed the data are
    shuffled and cut into whole blocks, sample i uses block i modulo the number of blocks. Without a
    seed the values are the exact ones, over all data.

    Args:
      data: raw features [M, F] and labels in {0, 1} [M].
      batch_size: rows in a batch.
      use_own_batch_per_sample: False uses one batch for all samples of a call.
      prior_std, size_test_set: as in `LogisticRegression`.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import MinibatchLogisticRegression
        >>> from gmmvi_ext.targets.data import RegressionData
        >>> features = np.array([[-2.0], [-1.0], [1.0], [2.0]])
        >>> data = RegressionData(features, np.array([0, 0, 1, 1]), ("dose",))
        >>> target = MinibatchLogisticRegression(data, batch_size=2)
        >>> target.is_stochastic, target.num_dimensions  # a slope and an intercept
        (True, 2)
    """

    is_stochastic = True
    has_exact_values = True

    def __init__(
        self,
        data: RegressionData,
        *,
        batch_size: int = 64,
        use_own_batch_per_sample: bool = True,
        prior_std: float = 10.0,
        size_test_set: int = 0,
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        super().__init__(
            data, prior_std=prior_std, size_test_set=size_test_set, dtype=dtype, name=name
        )
        require_switches(use_own_batch_per_sample=use_own_batch_per_sample)
        if not 1 <= batch_size <= self.data_size:
            raise ValueError(
                f"`batch_size` must be between 1 and the {self.data_size} training rows, "
                f"got {batch_size}."
            )
        self.batch_size = int(batch_size)
        self.max_blocks = self.data_size // self.batch_size if use_own_batch_per_sample else 1

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        if seed is None:
            return super().log_prob(x)
        return self._minibatch(x, seed, with_grad=False)[0]

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if seed is None:
            return super().log_prob_and_grad(x)
        return self._minibatch(x, seed, with_grad=True)

    def _minibatch(self, x, seed, *, with_grad: bool) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Values [N] and gradients [N, D], every sample on its own batch."""
        num_points = tf.shape(x)[0]
        num_blocks = tf.maximum(1, tf.minimum(self.max_blocks, num_points))
        rows = shuffled_blocks(seed, self.data_size, self.batch_size, num_blocks)
        blocks = tf.gather(self.signed_design, rows)  # [B, batch, D]
        grouped = group_by_block(x, num_blocks)  # [B, G, D]
        margins = tf.linalg.matmul(grouped, blocks, transpose_b=True)  # [B, G, batch]
        scale = self.data_size / self.batch_size
        sums = -scale * tf.reduce_sum(tf.math.softplus(-margins), axis=-1)
        values = ungroup(sums, num_points) + self.log_prior(x)
        if not with_grad:
            return values, None
        slopes = scale * tf.linalg.matmul(tf.math.sigmoid(-margins), blocks)  # [B, G, D]
        return values, ungroup(slopes, num_points) - x / self.prior_std**2

    def metrics(self, mixture: Mixture, samples: tf.Tensor) -> dict[str, float]:
        """Those of the full-batch target, and `elbo_fb`: the ELBO with all data (temperature 1)."""
        log_ratio = self.log_prob(samples) - gaussians.log_prob(mixture, samples)
        return {"elbo_fb": float(tf.reduce_mean(log_ratio)), **super().metrics(mixture, samples)}
