"""Subtracts the mean reward of the other draws at the same datum; needs at least two draws."""

import tensorflow as tf

from gmmvi_ext.amortized.control_variates.base import ControlVariate, RewardContext
from gmmvi_ext.amortized.roles import CONTROL_VARIATES
from gmmvi_ext.types import DTypeLike

__all__ = ["LeaveOneOut", "leave_one_out"]


def leave_one_out(reward: tf.Tensor) -> tf.Tensor:
    """reward [S, *B] minus the mean over the other S - 1 draws.

    Raises:
      ValueError: there is only one draw.
    """
    count = reward.shape[0]
    if count < 2:
        raise ValueError("leave-one-out needs `num_samples` of at least 2, got 1.")
    return (reward - tf.reduce_mean(reward, axis=0)) * (count / (count - 1.0))


@CONTROL_VARIATES.register("leave_one_out")
class LeaveOneOut(ControlVariate):
    """reward - mean of the other draws' rewards."""

    def __init__(self, *, dtype: DTypeLike = tf.float32):
        super().__init__(name="leave_one_out")

    def __call__(
        self, reward: tf.Tensor, context: RewardContext, *, learn: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return leave_one_out(reward), tf.zeros([], reward.dtype)
