"""Control variates one after the other; each sees the reward that the one before it left."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from gmmvi_ext.amortized.control_variates.base import ControlVariate, RewardContext
from gmmvi_ext.amortized.control_variates.baseline import Baseline
from gmmvi_ext.amortized.control_variates.centered import Centered
from gmmvi_ext.amortized.control_variates.scaled import Scaled
from gmmvi_ext.amortized.roles import CONTROL_VARIATES

__all__ = ["Chain", "build_chain"]


class Chain(ControlVariate):
    """Members in their order; with none, the reward passes unchanged.

    Args:
      members: control variates.
    """

    def __init__(self, members: Sequence[ControlVariate] = ()):
        super().__init__(name="chain")
        self.members = list(members)

    def __call__(
        self, reward: tf.Tensor, context: RewardContext, *, learn: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        loss = tf.zeros([], reward.dtype)
        seed = context.seed
        for number, member in enumerate(self.members):
            own = dataclasses.replace(context, seed=tf.random.fold_in(seed, number))
            reward, extra = member(reward, own, learn=learn)
            loss = loss + extra
        return reward, loss


def build_chain(
    names: Sequence[str],
    event_shape: tuple[int, ...],
    *,
    decay: float = 0.9,
    hidden: Sequence[int] = (100,),
    dropout: float = 0.0,
    seed: int = 0,
    dtype=tf.float32,
) -> Chain:
    """Chain of the control variates called `names`.

    Args:
      names: in the order they act in.
      event_shape: of one datum.
      decay: of running averages.
      hidden: hidden layers of a baseline.
      dropout: of a baseline.
      seed: of a baseline's weights.
    """
    members = []
    for name in names:
        kind = CONTROL_VARIATES.get(name)
        if kind in (Centered, Scaled):
            members.append(kind(decay, dtype=dtype))
        elif kind is Baseline:
            members.append(
                kind(event_shape, tuple(hidden), dropout=dropout, seed=seed, dtype=dtype)
            )
        else:
            members.append(kind(dtype=dtype))
    return Chain(members)
