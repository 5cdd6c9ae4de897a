"""Input-dependent baseline C(x) of NVIL (Mnih and Gregor, ICML 2014, sec. 3.2).

A network of the datum, fitted to the reward it receives by least squares; it never sees z.
"""

import tensorflow as tf

from gmmvi_ext.amortized.control_variates.base import ControlVariate, RewardContext
from gmmvi_ext.amortized.networks import FeedForwardEncoder
from gmmvi_ext.amortized.networks.base import Network, dense
from gmmvi_ext.amortized.roles import CONTROL_VARIATES
from gmmvi_ext.types import DTypeLike

__all__ = ["Baseline"]


@CONTROL_VARIATES.register("baseline", "input_dependent_baseline")
class Baseline(ControlVariate):
    """reward - C(x).

    Args:
      event_shape: of one datum.
      hidden: units of each hidden layer.
      dropout: share of the inputs of each linear layer that is left out in training.
      seed: of the initial weights.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        hidden: tuple[int, ...] = (100,),
        *,
        dropout: float = 0.0,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
    ):
        super().__init__(name="baseline")
        body = FeedForwardEncoder(hidden=hidden, dropout=dropout).build(
            event_shape, seed=seed, dtype=dtype
        )
        output = dense(1, seed=seed + len(hidden), dtype=dtype, dropout=dropout, name="output")
        self.body = body
        self.output = Network(output, body.output_shape, (1,), dtype=dtype, name="output")

    def __call__(
        self, reward: tf.Tensor, context: RewardContext, *, learn: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        features = self.body(context.x, training=context.training)
        guess = self.output(features, training=context.training)[..., 0]  # [*B]
        loss = tf.reduce_mean(tf.math.squared_difference(tf.stop_gradient(reward), guess))
        return reward - tf.stop_gradient(guess), loss
