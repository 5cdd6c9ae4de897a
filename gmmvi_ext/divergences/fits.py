"""Gaussian fits on the line: reverse KL (mode seeking) and forward KL (mass covering)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.divergences.quadrature import kl_quadrature, nodes

tfd = tfp.distributions

__all__ = ["GaussianFit", "fit_forward_kl", "fit_reverse_kl"]

METHODS = ("lbfgs", "adam", "grid")
WINDOW_STDDEVS = 4.0
ADAM_STEPS = 2000


class GaussianFit(NamedTuple):
    """A fitted N(loc, scale^2).

    Attributes:
      loc: scalar.
      scale: scalar.
      kl: divergence at the optimum (minus the ELBO for an unnormalised target), scalar.
      mass: mass of q that the nodes have covered, scalar.
    """

    loc: tf.Tensor
    scale: tf.Tensor
    kl: tf.Tensor
    mass: tf.Tensor


def fit_reverse_kl(
    target,
    starts: Sequence[tuple[float, float]] = ((0.0, 1.0),),
    *,
    method: str = "lbfgs",
    rule: str = "gauss_hermite",
    num_points: int = 60,
    dtype=tf.float64,
) -> list[GaussianFit]:
    """Local optima of KL(q || target) over Gaussians q, best first.

    Args:
      target: distribution, or function x [n] -> log density [n], normalised or not.
      starts: (loc, scale) of every start; a mixture has an optimum per mode.
      method: "lbfgs", "adam", or "grid" (100 x 100 around each start, then L-BFGS).
      rule: "gauss_hermite", or "trapezoid"/"gauss_legendre" over four standard deviations either
        side, a window that moves with q.
      num_points: nodes of the rule.
      dtype: of the search.
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}, got {method!r}.")

    def divergence(free):
        loc, scale = free[0], tf.exp(free[1])
        q = tfd.Normal(loc, scale)
        ends = (loc, scale)
        if rule != "gauss_hermite":
            ends = loc - WINDOW_STDDEVS * scale, loc + WINDOW_STDDEVS * scale
        return kl_quadrature(q, target, *ends, num_points, rule=rule)

    objective = tf.function(lambda free: divergence(free).value, reduce_retracing=True)
    fits = []
    for loc, scale in starts:
        free = tf.constant([loc, np.log(scale)], dtype)
        if method == "grid":
            free = _best_of_grid(objective, free)
        free = _adam(objective, free) if method == "adam" else _lbfgs(objective, free)
        at_end = divergence(free)
        fits.append(GaussianFit(free[0], tf.exp(free[1]), at_end.value, at_end.mass))
    return sorted(fits, key=lambda fit: float(fit.kl))


def fit_forward_kl(
    target, low=None, high=None, *, num_points: int = 10_001, dtype=tf.float64
) -> GaussianFit:
    """The Gaussian with the smallest KL(target || q): the one with the target's moments.

    Args:
      target: distribution; with `low` and `high` also an unnormalised log density.
      low: lower end of the range over which moments are integrated; exact moments if None.
      high: upper end.
      num_points: nodes on the range.
      dtype: of the integration.
    """
    if low is None or high is None:
        loc, scale = tf.cast(target.mean(), dtype), tf.cast(target.stddev(), dtype)
        low, high = loc - 12 * scale, loc + 12 * scale
    else:
        log_prob = target.log_prob if hasattr(target, "log_prob") else target
        x, w = nodes("trapezoid", low, high, num_points, dtype)
        share = tf.nn.softmax(log_prob(x) + tf.math.log(w))
        loc = tf.reduce_sum(share * x)
        scale = tf.sqrt(tf.reduce_sum(share * tf.square(x - loc)))
    at_end = kl_quadrature(target, tfd.Normal(loc, scale), low, high, num_points)
    return GaussianFit(loc, scale, at_end.value, at_end.mass)


def _lbfgs(objective: Callable, free: tf.Tensor) -> tf.Tensor:
    result = tfp.optimizer.lbfgs_minimize(
        lambda x: tfp.math.value_and_gradient(objective, x),
        initial_position=free,
        tolerance=1e-12,
        max_iterations=200,
    )
    return result.position


def _adam(objective: Callable, free: tf.Tensor) -> tf.Tensor:
    import keras

    variable = tf.Variable(free)
    schedule = keras.optimizers.schedules.CosineDecay(0.05, ADAM_STEPS)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build([variable])

    @tf.function
    def step():
        _, gradient = tfp.math.value_and_gradient(objective, tf.convert_to_tensor(variable))
        optimizer.apply_gradients([(gradient, variable)])

    for _ in range(ADAM_STEPS):
        step()
    return tf.convert_to_tensor(variable)


def _best_of_grid(objective: Callable, free: tf.Tensor) -> tf.Tensor:
    locs = tf.linspace(free[0] - 3, free[0] + 3, 100)
    logs = tf.linspace(free[1] - 2, free[1] + 2, 100)
    points = tf.reshape(tf.stack(tf.meshgrid(locs, logs), axis=-1), [-1, 2])
    values = tf.vectorized_map(objective, points)
    return points[tf.argmin(values)]
