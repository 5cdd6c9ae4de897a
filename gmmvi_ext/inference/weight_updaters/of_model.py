"""A weight updater that holds its model, as in the reference: samples in, new weights in the model.

    updater = DirectWeightUpdater().of(model, temperature=1.0)
    updater.update_weights(samples, background_log_densities, target_log_densities, stepsize)

estimates the rewards (`rewards`), stores them in the model, updates the weights and stores those.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.inference.pairwise import MatrixLogProb, chunked_log_prob
from gmmvi_ext.inference.rewards import expected_rewards
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.logspace import normalize_log_weights, weight_kl
from gmmvi_ext.models import GmmWrapper
from gmmvi_ext.ranges import require

__all__ = ["WeightUpdate", "WeightUpdaterOfModel"]


class WeightUpdate(NamedTuple):
    """What an update of the weights did.

    Attributes:
      rewards: estimated R_k = E_k[log target - temperature log q], [K].
      log_weights: new ones, [K].
      kl: KL of the new from the old weights, scalar.
    """

    rewards: tf.Tensor
    log_weights: tf.Tensor
    kl: tf.Tensor


class WeightUpdaterOfModel:
    """A rule at work on the weights of a `GmmWrapper`.

    Args:
      rule: the `WeightUpdater`.
      model: its weights and histories change.
      temperature: weight of the entropy, > 0.

    Raises:
      ValueError: no `GmmWrapper`; the temperature is not positive.
    """

    def __init__(self, rule: Any, model: GmmWrapper, temperature: float = 1.0):
        if not isinstance(model, GmmWrapper):
            raise ValueError(f"`model` must be a `GmmWrapper`, got {type(model).__name__}.")
        if not temperature > 0:
            raise ValueError(f"`temperature` must be positive, got {temperature}.")
        self.rule = rule
        self.model = model
        self.temperature = temperature

    def expected_rewards(
        self,
        samples: tf.Tensor,
        background_log_densities: tf.Tensor,
        target_log_densities: tf.Tensor,
    ) -> tf.Tensor:
        """R_k of every component, [K]; the arguments are those of `update_weights`."""
        x, background, target = self._checked(
            samples, background_log_densities, target_log_densities
        )
        mixture = self.model.mixture()
        is_valid = tf.math.is_finite(target)
        lowest = tf.reduce_min(tf.where(is_valid, target, target.dtype.max))
        rewards = expected_rewards(
            mixture.log_weights,
            MatrixLogProb(chunked_log_prob(mixture.components, x)),
            target_log_prob=tf.where(is_valid, target, lowest),
            proposal_log_prob=background,
            temperature=to_dtype(self.temperature, x.dtype),
            self_normalized=self.rule.use_self_normalized_importance_weights,
            is_centered=self.rule.center_rewards,
        )
        return tf.where(tf.reduce_any(is_valid), rewards, tf.constant(np.nan, rewards.dtype))

    def update_weights(
        self,
        samples: tf.Tensor,
        background_log_densities: tf.Tensor,
        target_log_densities: tf.Tensor,
        stepsize: float | tf.Tensor,
    ) -> WeightUpdate:
        """Estimates the rewards, stores them, and updates and stores the weights.

        Samples whose target value is not finite count with the smallest finite one; where there is
        none the weights stay and the rewards are NaN.

        Args:
          samples: [N, D].
          background_log_densities: log density of what drew the samples, [N].
          target_log_densities: log target, not necessarily normalized, [N].
          stepsize: of the rule: stepsize of a direct update, bound on the KL of a trust region.

        Raises:
          ValueError: shapes that do not go together; a stepsize that is negative or no number.
        """
        stepsize = to_dtype(stepsize, self.model.dtype)
        if hasattr(stepsize, "numpy"):
            require(bool(stepsize >= 0), "stepsize", "a number >= 0", float(stepsize))
        rewards = self.expected_rewards(samples, background_log_densities, target_log_densities)
        log_weights = self.model.log_weights.read_value()
        temperature = to_dtype(self.temperature, rewards.dtype)
        self.model.store_rewards(rewards + temperature * log_weights)
        updated = self.rule.guarded_update(
            log_weights,
            rewards,
            stepsize,
            temperature,
            has_valid=tf.reduce_any(tf.math.is_finite(target_log_densities)),
        )
        self.model.replace_weights(updated)
        return WeightUpdate(rewards, updated, weight_kl(updated, log_weights))

    def kl(self, eta: float | tf.Tensor, rewards: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """KL from the current weights, and log w' = log w + R / (temperature + eta), [K].

        Args:
          eta: multiplier of the KL bound, >= 0.
          rewards: R_k, [K].
        """
        log_weights = self.model.log_weights.read_value()
        dtype = log_weights.dtype
        rewards = to_dtype(rewards, dtype)
        if not rewards.shape.is_compatible_with(log_weights.shape):
            raise ValueError(
                f"`rewards` must have the shape {tuple(log_weights.shape)}, one a component, got "
                f"{tuple(rewards.shape)}."
            )
        step = 1.0 / (to_dtype(self.temperature, dtype) + to_dtype(eta, dtype))
        updated = normalize_log_weights(log_weights + step * rewards)
        return weight_kl(updated, log_weights), updated

    def _checked(self, samples, background, target) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        dtype, dim = self.model.dtype, self.model.num_dimensions
        x, background, target = (to_dtype(each, dtype) for each in (samples, background, target))
        if x.shape.rank != 2 or x.shape[1] != dim:
            raise ValueError(f"`samples` must have the shape [N, {dim}], got {tuple(x.shape)}.")
        for name, value in (
            ("background_log_densities", background),
            ("target_log_densities", target),
        ):
            if not value.shape.is_compatible_with([x.shape[0]]):
                raise ValueError(
                    f"`{name}` must have the shape [{x.shape[0]}], one number a sample, got "
                    f"{tuple(value.shape)}."
                )
        return x, background, target
