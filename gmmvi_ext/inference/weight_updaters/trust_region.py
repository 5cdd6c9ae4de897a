"""Weights that maximise the surrogate within a KL ball around the current ones.

    max_w'  sum w' R - temperature KL(w' || w)   s.t.  KL(w' || w) <= eps
    log w'(s) = log w + s R + const,   s = 1 / (temperature + eta),  eta >= 0

(Arenz et al., 2023, section 3.2; the coefficient of log w is one at every temperature.) KL(s) rises
with s, so the answer is the full step s = 1/temperature if it is inside the ball, else the s on its
boundary, found by repeated grids over log s.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.inference.weight_updaters.base import WeightUpdater
from gmmvi_ext.math.bracketing import smallest_feasible
from gmmvi_ext.math.logspace import normalise_log_weights

__all__ = ["TrustRegionBasedWeightUpdater", "weight_kl"]

LOG_STEP_RANGE = 60.0  # below s = e^-60 of the full step nothing moves in any floating format


@WeightUpdater.registry.register("trust-region")
@dataclasses.dataclass(frozen=True)
class TrustRegionBasedWeightUpdater(WeightUpdater):
    """Largest step whose KL from the current weights is at most the stepsize."""

    def update(self, log_weights, rewards, stepsize, temperature):
        dtype = log_weights.dtype
        # Rewards may be of any size; only differences matter, and small numbers keep digits.
        centred = rewards - tf.reduce_max(rewards)

        def is_feasible(log_shrinkage):  # [1, G]
            steps = tf.exp(-log_shrinkage[0]) / temperature  # [G]
            candidates = tf.nn.log_softmax(log_weights + steps[:, tf.newaxis] * centred)
            return (weight_kl(candidates, log_weights) <= stepsize)[tf.newaxis]

        shrinkage = smallest_feasible(
            is_feasible, tf.zeros([1], dtype), tf.constant([LOG_STEP_RANGE], dtype)
        )[0]
        step = tf.exp(-shrinkage) / temperature
        return normalise_log_weights(log_weights + step * centred)


def weight_kl(log_weights: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """KL of categorical distributions with log weights [..., K]; terms of weight 0 count as 0."""
    return tf.reduce_sum(
        tf.math.multiply_no_nan(log_weights - others, tf.exp(log_weights)), axis=-1
    )
