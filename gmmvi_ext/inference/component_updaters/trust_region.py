"""Largest natural-gradient step inside a KL ball (Abdolmaleki et al., 2015; Arenz et al., 2023).

    Lambda'(eta) = Lambda + G / eta,    Lambda' mu' = Lambda mu + (G mu - g) / eta,
    eta >= temperature

and eta is the smallest value with KL(new || old) <= eps; eta = temperature is the full step. In the
eigenbasis of M = L^T G L (eigenvalues lambda, slope c)

    KL(eta) = 1/2 sum_i [ log(1 + lambda_i/eta) + 1/(1 + lambda_i/eta) - 1
                          + (c_i/(eta + lambda_i))^2 ],

valid for eta > -lambda_min, so the search costs O(D) a probe and no Cholesky factor. All components
are searched at once on grids over log eta; the KL meets an active bound from below, to a relative
1e-3.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.inference.component_updaters.base import NgBasedComponentUpdater
from gmmvi_ext.math.bracketing import smallest_feasible
from gmmvi_ext.math.chunks import power_of_two

__all__ = ["KLConstrainedNgBasedComponentUpdater", "trust_region_kl"]

POLE_MARGIN = 1e-4  # eta starts this relative distance above -lambda_min, where the KL is infinite
LOG_ETA_RANGE = 46.0  # e^46 temperature: no component moves
MIN_BOUND = 1e-30  # keeps the upper bracket finite for a stepsize of zero


@NgBasedComponentUpdater.registry.register("trust-region")
@dataclasses.dataclass(frozen=True)
class KLConstrainedNgBasedComponentUpdater(NgBasedComponentUpdater):
    """Trust-region step; the stepsize is the bound on the KL of the new from the old component.

    Attributes:
      jit_compile: compile the search with XLA, for numbers of components padded to powers of two.
        Half a second for each power that a run meets; on CPU an iteration with one component is 8 %
        faster for it and one with ten or more is not.
    """

    jit_compile: bool = False

    def move(self, spectrum, stepsize, temperature, num_updates):
        eigenvalues, slope, _ = spectrum
        valid = tf.ones_like(stepsize, tf.bool)
        if not self.jit_compile:
            return *_search(eigenvalues, slope, stepsize, temperature), valid
        num = tf.shape(stepsize)[0]
        missing = power_of_two(num) - num
        padded = [tf.pad(each, [[0, missing], [0, 0]]) for each in (eigenvalues, slope)]
        compiled = tf.function(_search, jit_compile=True, autograph=False)
        ratio, step = compiled(*padded, tf.pad(stepsize, [[0, missing]]), temperature)
        return ratio[:num], step[:num], valid

    def multiplier(self, kl, stepsize, temperature):
        low = tf.math.log(temperature) * tf.ones_like(stepsize)
        log_eta = smallest_feasible(
            lambda grid: kl(tf.exp(grid)) <= tf.expand_dims(stepsize, 1), low, low + LOG_ETA_RANGE
        )
        return tf.where(log_eta <= low, temperature, tf.exp(log_eta))


def _search(eigenvalues, slope, stepsize, temperature) -> tuple[tf.Tensor, tf.Tensor]:
    """Variance ratios and steps [K, D] of the smallest feasible eta."""
    floor = temperature * tf.ones_like(stepsize)
    pole = -tf.reduce_min(eigenvalues, axis=-1)
    low = tf.maximum(floor, pole * (1 + POLE_MARGIN))
    high = tf.maximum(low, _feasible_eta(eigenvalues, slope, stepsize))

    bound = tf.expand_dims(stepsize, 1)

    def is_feasible(log_eta):  # [K, G]
        return trust_region_kl(eigenvalues, slope, tf.exp(log_eta)) <= bound

    log_eta = smallest_feasible(is_feasible, tf.math.log(low), tf.math.log(high))
    # Exactly the floor where it is feasible: exp(log(1)) may be off by a rounding.
    eta = tf.expand_dims(tf.where(log_eta <= tf.math.log(low), low, tf.exp(log_eta)), 1)
    ratio = eta / (eta + eigenvalues)
    step = slope / (eta + eigenvalues)
    return ratio, step


def trust_region_kl(eigenvalues: tf.Tensor, slope: tf.Tensor, eta: tf.Tensor) -> tf.Tensor:
    """KL(eta) for multipliers [K, G], infinite where the new precision is not positive.

    Args:
      eigenvalues: of the whitened curvature, [K, D].
      slope: in its eigenbasis, [K, D].
      eta: multipliers, [K, G].
    """
    eigenvalues, slope, eta = (
        tf.expand_dims(eigenvalues, 1),
        tf.expand_dims(slope, 1),
        tf.expand_dims(eta, -1),
    )
    shifted = eta + eigenvalues  # [K, G, D]
    valid = tf.reduce_all(shifted > 0, axis=-1)
    excess = eigenvalues / shifted  # 1 - 1/(1 + lambda/eta), without cancellation
    terms = tf.math.log1p(eigenvalues / eta) - excess + tf.square(slope / shifted)
    kl = 0.5 * tf.reduce_sum(terms, axis=-1)
    return tf.where(valid, kl, tf.cast(float("inf"), kl.dtype))


def _feasible_eta(eigenvalues: tf.Tensor, slope: tf.Tensor, bound: tf.Tensor) -> tf.Tensor:
    """An eta [K] whose KL is at most `bound`.

    For |t| = |lambda|/eta <= 1/2 each spectral term is below 1.25 t^2 and eta + lambda >= eta / 2,
    so KL <= (0.625 |lambda|^2 + 2 |c|^2) / eta^2.
    """
    squares = 0.625 * tf.reduce_sum(tf.square(eigenvalues), axis=-1) + 2.0 * tf.reduce_sum(
        tf.square(slope), axis=-1
    )
    largest = tf.reduce_max(tf.abs(eigenvalues), axis=-1)
    return tf.maximum(2.0 * largest, tf.sqrt(squares / tf.maximum(bound, MIN_BOUND)))
