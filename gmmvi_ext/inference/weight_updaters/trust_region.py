"""Weights that maximize the surrogate within a KL ball around the current ones.

    max_w'  sum w' R - temperature KL(w' || w)   s.t.  KL(w' || w) <= eps
    log w'(s) = log w + s R + const,   s = 1 / (temperature + eta),  eta >= 0

(Arenz et al., 2023, section 3.2; the coefficient of log w is one at every temperature.) KL(s) rises
with s, so the answer is the full step s = 1/temperature if it is inside the ball, else the s on its
boundary, found by repeated grids over log s and polished by Newton steps.

The update is differentiable in rewards, old log weights, bound and temperature, without
differentiating the search: on the boundary KL(s, R, log w) = eps defines s, so with p = w' and
moments under p

    ds/deps = 1 / (s Var[R]),    ds/dR_k = -s p_k (R_k - E[R]) / Var[R],
    ds/dlog w_k = -(s p_k (R_k - E[R]) - p_k + w_k) / (s Var[R]).
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.inference.weight_updaters.base import WeightUpdater
from gmmvi_ext.math.bracketing import smallest_feasible
from gmmvi_ext.math.logspace import normalize_log_weights, weight_kl

__all__ = ["TrustRegionBasedWeightUpdater", "trust_region_step"]

LOG_STEP_RANGE = 60.0  # below s = e^-60 of the full step nothing moves in any floating format
GRID_ROUNDS = 3
NEWTON_STEPS = 3  # each squares the relative error 1.5e-2 that the grids leave
NEWTON_RANGE = 6e-2  # how far, relatively, the polished step may be from the grids' one


@WeightUpdater.registry.register("trust-region")
@dataclasses.dataclass(frozen=True)
class TrustRegionBasedWeightUpdater(WeightUpdater):
    """Largest step whose KL from the current weights is at most the stepsize."""

    def update(self, log_weights, rewards, stepsize, temperature):
        # Rewards may be of any size; only differences matter, and small numbers keep digits.
        centered = rewards - tf.stop_gradient(tf.reduce_max(rewards))
        step = trust_region_step(log_weights, centered, stepsize, temperature)
        return normalize_log_weights(log_weights + step * centered)


@tf.custom_gradient
def trust_region_step(
    log_weights: tf.Tensor, rewards: tf.Tensor, bound: tf.Tensor, temperature: tf.Tensor
):
    """The step s of the update, a scalar; differentiable in all arguments, any number of times.

    Args:
      log_weights: current ones, [K]; need not be normalized.
      rewards: [K].
      bound: on the KL, scalar >= 0.
      temperature: scalar > 0.
    """
    log_weights = tf.nn.log_softmax(log_weights)
    step = _search(log_weights, rewards, bound, temperature)

    def gradient(upstream):
        # Asked for again, so that this gradient has a gradient in turn.
        s = trust_region_step(log_weights, rewards, bound, temperature)
        is_active = s < 1.0 / temperature
        p = tf.nn.softmax(log_weights + s * rewards)
        deviation = rewards - tf.reduce_sum(p * rewards)
        pulled = p * deviation
        variance = tf.reduce_sum(pulled * deviation)
        by_bound = tf.math.divide_no_nan(upstream, s * variance)
        by_bound = tf.where(is_active, by_bound, tf.zeros_like(by_bound))
        by_temperature = tf.where(is_active, tf.zeros_like(upstream), -upstream * tf.square(s))
        by_weights = -by_bound * (s * pulled - p + tf.exp(log_weights))
        return by_weights, -by_bound * tf.square(s) * pulled, by_bound, by_temperature

    return step, gradient


def _search(log_weights, rewards, bound, temperature) -> tf.Tensor:
    dtype = log_weights.dtype

    def is_feasible(log_shrinkage):  # [1, G]
        steps = tf.exp(-log_shrinkage[0]) / temperature  # [G]
        candidates = tf.nn.log_softmax(log_weights + tf.expand_dims(steps, 1) * rewards)
        return tf.expand_dims(weight_kl(candidates, log_weights) <= bound, 0)

    shrinkage = smallest_feasible(
        is_feasible, tf.zeros([1], dtype), tf.constant([LOG_STEP_RANGE], dtype), GRID_ROUNDS
    )[0]
    full = 1.0 / temperature
    coarse = tf.where(shrinkage > 0, tf.exp(-shrinkage) * full, full)
    step = coarse
    for _ in range(NEWTON_STEPS):
        log_p = tf.nn.log_softmax(log_weights + step * rewards)
        p = tf.exp(log_p)
        deviation = rewards - tf.reduce_sum(p * rewards)
        slope = step * tf.reduce_sum(p * tf.square(deviation))
        moved = step + tf.math.divide_no_nan(bound - weight_kl(log_p, log_weights), slope)
        usable = tf.math.is_finite(moved) & (tf.abs(moved - coarse) <= NEWTON_RANGE * coarse)
        step = tf.where(usable, moved, step)
    return tf.where(coarse < full, tf.minimum(step, full), full)
