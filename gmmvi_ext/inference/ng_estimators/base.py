"""Role of natural-gradient estimators, and the importance weights all of them use."""

import dataclasses

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.ng_estimators.low_rank import LowRankEstimate
from gmmvi_ext.inference.pairwise import ComponentLogProb
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
    required = ("estimate",)

    requires_gradient = True

    def estimate(
        self, mixture: Mixture, batch: Batch, temperature: tf.Tensor, ridge: tf.Tensor
    ) -> NgEstimate:
        """Natural gradients of all components.

        Args:
          mixture: current mixture.
          batch: samples with target values.
          temperature: scalar > 0.
          ridge: l2 regularizer of each component, [K] (used by regressions).
        """
        raise NotImplementedError

    def estimate_low_rank(
        self, mixture: Mixture, batch: Batch, temperature: tf.Tensor
    ) -> LowRankEstimate:
        """The same for components with low-rank covariance. Optional.

        Without it, and in a subclass that overrides `estimate` alone, such components are
        estimated as full ones.
        """
        raise NotImplementedError

    def adapt_ridge(self, ridge: tf.Tensor, ok: tf.Tensor) -> tf.Tensor:
        """Regularizer [K] of the next estimate, given which updates [K] succeeded."""
        return ridge

    def weights(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Importance weights of the batch's pairs, and whether a component has any, [K]."""
        log_prob = batch.component_log_prob
        never = tf.cast(float("-inf"), log_prob.values.dtype)
        if self.only_use_own_samples:
            index = tf.where(batch.is_valid, batch.component_index, -1)
            is_own = log_prob.drawn_by(index)
            ratios = tf.where(is_own, tf.zeros_like(log_prob.values), never)
            counted = index >= 0
        else:
            # Infinite where the sample does not count.
            proposal = tf.where(batch.is_valid, batch.proposal_log_prob, -never)
            ratios = log_prob.values - log_prob.of_samples(proposal)
            counted = batch.is_valid
        return importance_weights(
            log_prob,
            ratios,
            num_samples=tf.reduce_sum(tf.cast(counted, ratios.dtype)),
            self_normalized=self.use_self_normalized_importance_weights,
        )


def importance_weights(
    log_prob: ComponentLogProb,
    log_ratios: tf.Tensor,
    *,
    num_samples: tf.Tensor,
    self_normalized: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Weights of pairs from their log ratios, and which components have any, [K].

    Self-normalized weights sum to one over the samples; standard ones are exp(ratio) / N with N the
    number of samples that count.
    """
    top = log_prob.component_max(log_ratios)
    has_any = top > log_ratios.dtype.min
    if self_normalized:
        top = tf.where(has_any, top, tf.zeros_like(top))
        raw = tf.exp(log_ratios - log_prob.of_components(top))
        share = tf.math.reciprocal_no_nan(log_prob.component_sum(raw))
        return raw * log_prob.of_components(share), has_any
    return tf.exp(log_ratios) / tf.maximum(num_samples, 1.0), has_any
