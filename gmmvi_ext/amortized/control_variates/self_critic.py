"""Subtracts the reward of an independent draw at the same datum (Rennie et al. 2017).

    r(z) - r(z'),  z' ~ q(z | x)

The same reward, log q term included, without gradient; it costs one more decoder pass.
"""

import tensorflow as tf

from gmmvi_ext.amortized.control_variates.base import ControlVariate, RewardContext
from gmmvi_ext.amortized.roles import CONTROL_VARIATES
from gmmvi_ext.types import DTypeLike

__all__ = ["SelfCritic"]


@CONTROL_VARIATES.register("self_critic")
class SelfCritic(ControlVariate):
    """reward - reward of an independent draw."""

    def __init__(self, *, dtype: DTypeLike = tf.float32):
        super().__init__(name="self_critic")

    def __call__(
        self, reward: tf.Tensor, context: RewardContext, *, learn: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        critic = tf.stop_gradient(context.fresh_reward(context.seed))
        return reward - tf.reduce_mean(critic, axis=0), tf.zeros([], reward.dtype)
