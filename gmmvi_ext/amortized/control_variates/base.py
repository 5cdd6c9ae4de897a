"""What all control variates share, and the running mean that two of them keep."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from gmmvi_ext.ranges import require, require_module_name

__all__ = ["ControlVariate", "RewardContext", "RunningMean"]


@dataclasses.dataclass(frozen=True)
class RewardContext:
    """What a control variate may look at beside the reward.

    Attributes:
      x: the data, [*B, *event].
      fresh_reward: seed -> rewards [S, *B] of draws that are independent of the scored ones, at the
        same x, without gradient.
      seed: stateless, [2].
      training: whether networks are in training mode.
    """

    x: tf.Tensor
    fresh_reward: Callable[[tf.Tensor], tf.Tensor]
    seed: tf.Tensor
    training: bool = False


class ControlVariate(tf.Module):
    """Changes a reward [S, *B].

    The state is in variables: checkpointed, and up to date inside `tf.function`.
    """

    def __call__(
        self, reward: tf.Tensor, context: RewardContext, *, learn: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The changed reward and a loss that trains the control variate.

        Args:
          reward: [S, *B], without gradient.
          context: data and independent rewards.
          learn: whether running averages take this reward in, afterwards.

        Returns:
          reward [S, *B] and a scalar loss.
        """
        raise NotImplementedError


class RunningMean(tf.Module):
    """Exponential average that starts unbiased: sum_i d^i v_{t-i} / sum_i d^i.

    Args:
      decay: weight of the old value, in [0, 1).
    """

    def __init__(self, decay: float, dtype, name: str = "running_mean"):
        super().__init__(name=require_module_name(name))
        require(0 <= decay < 1, "decay", "in [0, 1)", decay)
        self.decay = decay
        self.total = tf.Variable(tf.zeros([], dtype), trainable=False, name="total")
        self.weight = tf.Variable(tf.zeros([], dtype), trainable=False, name="weight")

    @property
    def is_empty(self) -> tf.Tensor:
        """Whether nothing has been taken in yet."""
        return tf.equal(self.weight, 0.0)

    def value(self) -> tf.Tensor:
        """The average; zero as long as it is empty."""
        return tf.math.divide_no_nan(self.total.read_value(), self.weight.read_value())

    def take(self, value: tf.Tensor) -> None:
        """Takes a value in; one that is not finite is skipped."""
        is_fine = tf.math.is_finite(value)
        value = tf.where(is_fine, value, tf.zeros_like(value))
        keep = tf.where(is_fine, tf.cast(self.decay, value.dtype), tf.ones_like(value))
        gain = tf.where(is_fine, tf.ones_like(value) - keep, tf.zeros_like(value))
        self.total.assign(keep * self.total + gain * value)
        self.weight.assign(keep * self.weight + gain)
