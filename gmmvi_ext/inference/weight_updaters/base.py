"""Role of weight updaters."""

import dataclasses

import tensorflow as tf

from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.registry import Registry

__all__ = ["WeightUpdater"]


@dataclasses.dataclass(frozen=True)
class WeightUpdater(Rule):
    """Updates the mixture weights from the expected reward of every component.

    Attributes:
      use_self_normalized_importance_weights: estimate rewards with weights that sum to one.
    """

    use_self_normalized_importance_weights: bool = True

    role = "weight_updater"
    registry = Registry("weight updater")
    required = ("update",)

    def update(
        self,
        log_weights: tf.Tensor,
        rewards: tf.Tensor,
        stepsize: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tf.Tensor:
        """New normalised log weights [K].

        Args:
          log_weights: current ones, [K].
          rewards: R_k = E_k[log target - temperature log q], [K].
          stepsize: scalar.
          temperature: scalar > 0.
        """
        raise NotImplementedError
