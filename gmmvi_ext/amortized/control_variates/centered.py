"""Subtracts the running mean of the reward.

The mean is the one before the current batch: it does not depend on the draws it is subtracted from.
Before there is one, each reward is centered by the mean of all others in its batch.
"""

import tensorflow as tf

from gmmvi_ext.amortized.control_variates.base import ControlVariate, RewardContext, RunningMean
from gmmvi_ext.amortized.roles import CONTROL_VARIATES
from gmmvi_ext.types import DTypeLike

__all__ = ["Centered"]


@CONTROL_VARIATES.register("centered", "centred")
class Centered(ControlVariate):
    """reward - running mean.

    Args:
      decay: weight of the old mean in the new one.
    """

    def __init__(self, decay: float = 0.9, *, dtype: DTypeLike = tf.float32):
        super().__init__(name="centered")
        self.running_mean = RunningMean(decay, dtype)

    def __call__(
        self, reward: tf.Tensor, context: RewardContext, *, learn: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.cast(tf.size(reward), reward.dtype)
        others = tf.math.divide_no_nan(tf.reduce_sum(reward) - reward, count - 1.0)
        mean = tf.where(self.running_mean.is_empty, others, self.running_mean.value())
        centered = reward - mean
        if learn:
            with tf.control_dependencies([centered]):
                self.running_mean.take(tf.reduce_mean(reward))
        return centered, tf.zeros([], reward.dtype)
