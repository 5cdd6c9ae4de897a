"""Divides the reward by its running standard deviation, where that exceeds one.

It changes the size of the gradient, not its direction: a stepsize (Mnih and Gregor 2014, sec. 3.3).
The deviation is the one before the current batch.
"""

import tensorflow as tf

from gmmvi_ext.amortized.control_variates.base import ControlVariate, RewardContext, RunningMean
from gmmvi_ext.amortized.roles import CONTROL_VARIATES
from gmmvi_ext.types import DTypeLike

__all__ = ["Scaled"]


@CONTROL_VARIATES.register("scaled")
class Scaled(ControlVariate):
    """reward / max(1, running standard deviation).

    Args:
      decay: weight of the old moments in the new ones.
    """

    def __init__(self, decay: float = 0.9, *, dtype: DTypeLike = tf.float32):
        super().__init__(name="scaled")
        self.running_mean = RunningMean(decay, dtype)
        self.running_square = RunningMean(decay, dtype, name="running_square")

    def scale(self) -> tf.Tensor:
        """What the reward is divided by."""
        variance = self.running_square.value() - tf.square(self.running_mean.value())
        return tf.sqrt(tf.maximum(variance, 1.0))

    def __call__(
        self, reward: tf.Tensor, context: RewardContext, *, learn: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scaled = reward / self.scale()
        if learn:
            with tf.control_dependencies([scaled]):
                self.running_mean.take(tf.reduce_mean(reward))
                self.running_square.take(tf.reduce_mean(tf.square(reward)))
        return scaled, tf.zeros([], reward.dtype)
