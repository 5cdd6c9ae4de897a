"""Role of natural-gradient estimators, and the importance weights all of them use."""

import dataclasses

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.inference.types import Batch, NgEstimate
from gmmvi_ext.registry import Registry

__all__ = ["NgEstimator", "importance_weights"]


@dataclasses.dataclass(frozen=True)
class NgEstimator(Rule):
    """Estimates the natural gradient of every component from one batch.

    Attributes:
      only_use_own_samples: learn each component from its own newest samples alone.
      use_self_normalized_importance_weights: weights that sum to one over the batch; else ratios
        divided by the number of samples.
    """

    only_use_own_samples: bool = False
    use_self_normalized_importance_weights: bool = True

    role = "ng_estimator"
    registry = Registry("natural-gradient estimator")

    requires_gradient = True

    def estimate(self, mixture: Mixture, batch: Batch, temperature: tf.Tensor,
                 ridge: tf.Tensor) -> NgEstimate:  # fmt: skip
        """Natural gradients of all components.

        Args:
          mixture: current mixture.
          batch: samples with target values.
          temperature: scalar > 0.
          ridge: l2 regulariser of each component, [K] (used by regressions).
        """
        raise NotImplementedError

    def adapt_ridge(self, ridge: tf.Tensor, ok: tf.Tensor) -> tf.Tensor:
        """Regulariser [K] of the next estimate, given which updates [K] succeeded."""
        return ridge

    def log_importance_ratios(self, batch: Batch) -> tf.Tensor:
        """log N_k(x_n) - log proposal(x_n), -inf for samples that do not count, [N, K]."""
        never = tf.cast(float("-inf"), batch.component_log_prob.dtype)
        if self.only_use_own_samples:
            num_components = tf.shape(batch.component_log_prob)[1]
            own = batch.component_index[:, tf.newaxis] == tf.range(num_components)
            ratios = tf.where(own, tf.zeros_like(batch.component_log_prob), never)
        else:
            ratios = batch.component_log_prob - batch.proposal_log_prob[:, tf.newaxis]
        return tf.where(batch.is_valid[:, tf.newaxis], ratios, never)

    def weights(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Importance weights [N, K] and whether a component has any, [K]."""
        return importance_weights(
            self.log_importance_ratios(batch),
            self_normalized=self.use_self_normalized_importance_weights,
        )


def importance_weights(
    log_ratios: tf.Tensor, *, self_normalized: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Weights [N, K] from log ratios [N, K], and which columns have any, [K].

    Self-normalised weights sum to one over the samples; standard ones are exp(ratio) / N with N the
    number of samples that count for at least one component.
    """
    top = tf.reduce_max(log_ratios, axis=0)
    has_any = tf.math.is_finite(top)
    if self_normalized:
        raw = tf.exp(log_ratios - tf.where(has_any, top, tf.zeros_like(top)))
        return tf.math.divide_no_nan(raw, tf.reduce_sum(raw, axis=0)), has_any
    counted = tf.reduce_any(log_ratios > float("-inf"), axis=1)
    size = tf.maximum(tf.reduce_sum(tf.cast(counted, log_ratios.dtype)), 1.0)
    return tf.exp(log_ratios) / size, has_any
