"""Role of weight updaters."""

import dataclasses
from typing import Any

import tensorflow as tf

from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.inference.weight_updaters.of_model import WeightUpdaterOfModel
from gmmvi_ext.models import GmmWrapper
from gmmvi_ext.registry import Registry

__all__ = ["WeightUpdater"]


@dataclasses.dataclass(frozen=True)
class WeightUpdater(Rule):
    """Updates the mixture weights from the expected reward of every component.

    Attributes:
      use_self_normalized_importance_weights: estimate rewards with weights that sum to one.
      center_rewards: with weights that do not, estimate rewards around their mean; false gives the
        estimator of the reference.
    """

    use_self_normalized_importance_weights: bool = True
    center_rewards: bool = True

    role = "weight_updater"
    registry = Registry("weight updater")
    required = ("update",)

    @classmethod
    def build_from_config(cls, config: dict, gmm_wrapper: GmmWrapper | None = None) -> Any:
        """The rule that a configuration names, or that rule at work on a model.

        Args:
          config: with `weight_updater_type` and `weight_updater_config`, and `temperature` where a
            model is given.
          gmm_wrapper: its weights are updated, as in the reference; None gives the rule alone.

        Raises:
          OSError, ValueError: naming the key that is off.
        """
        rule: Any = super().build_from_config(config)
        if gmm_wrapper is None:
            return rule
        return rule.of(gmm_wrapper, temperature=config.get("temperature", 1.0))

    def of(self, model: GmmWrapper, *, temperature: float = 1.0) -> WeightUpdaterOfModel:
        """This rule at work on the weights of a model."""
        return WeightUpdaterOfModel(self, model, temperature)

    def update(
        self,
        log_weights: tf.Tensor,
        rewards: tf.Tensor,
        stepsize: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tf.Tensor:
        """New normalized log weights [K].

        Args:
          log_weights: current ones, [K].
          rewards: R_k = E_k[log target - temperature log q], [K].
          stepsize: scalar.
          temperature: scalar > 0.
        """
        raise NotImplementedError

    def guarded_update(
        self,
        log_weights: tf.Tensor,
        rewards: tf.Tensor,
        stepsize: tf.Tensor,
        temperature: tf.Tensor,
        *,
        has_valid: tf.Tensor,
    ) -> tf.Tensor:
        """`update` that nothing poisons: where it has no finite result, the weights stay.

        A component that could not be rewarded gets the worst reward. A single component keeps its
        weight.

        Args:
          log_weights, rewards, stepsize, temperature: as for `update`.
          has_valid: whether any sample behind the rewards had a finite target value.
        """
        finite = tf.math.is_finite(rewards)
        worst = tf.reduce_min(tf.where(finite, rewards, rewards.dtype.max))
        rewards = tf.where(finite, rewards, worst)
        updated = self.update(log_weights, rewards, stepsize, temperature)
        usable = has_valid & tf.reduce_any(finite)
        usable &= tf.reduce_all(tf.math.is_finite(updated))
        return tf.where(usable & (tf.size(log_weights) > 1), updated, log_weights)
