"""Gaussian fits on the line: reverse KL (mode seeking) and forward KL (mass covering)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.divergences import support
from gmmvi_ext.divergences.double_exponential import support_nodes
from gmmvi_ext.divergences.kl import kl_on_support
from gmmvi_ext.divergences.quadrature import kl_quadrature, nodes, require_both_or_neither
from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.math.casting import as_numbers, floating_dtype
from gmmvi_ext.ranges import require_count, require_function
from gmmvi_ext.types import DensityLike, DTypeLike, TensorLike

__all__ = ["GaussianFit", "fit_forward_kl", "fit_reverse_kl"]

tfp = lazy_module("tensorflow_probability")
tfd = lazy_module("tensorflow_probability.python.distributions")

METHODS = ("lbfgs", "adam", "grid")
WINDOW_STDDEVS = 4.0
ADAM_STEPS = 2000


class GaussianFit(NamedTuple):
    """A fitted N(loc, scale^2).

    Attributes:
      loc: scalar.
      scale: scalar.
      kl: divergence at the optimum (minus the ELBO for an unnormalized target), scalar.
      mass: mass of q that the nodes have covered, scalar.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import fit_forward_kl
        >>> best = fit_forward_kl(tfp.distributions.Normal(np.float64(1.0), np.float64(2.0)))
        >>> round(float(best.loc), 3), round(float(best.scale), 3), abs(round(float(best.kl), 3))
        (1.0, 2.0, 0.0)
    """

    loc: tf.Tensor
    scale: tf.Tensor
    kl: tf.Tensor
    mass: tf.Tensor


def fit_reverse_kl(
    target: DensityLike,
    starts: Sequence[tuple[float, float]] = ((0.0, 1.0),),
    *,
    method: str = "lbfgs",
    rule: str = "gauss_hermite",
    num_points: int = 200,
    bounds: Sequence[tuple[float, float]] | None = None,
    dtype: DTypeLike = tf.float64,
) -> list[GaussianFit]:
    """Local optima of KL(q || target) over Gaussians q, best first.

    Args:
      target: distribution on the whole line, or function x [n] -> log density [n], normalized or
        not.
      starts: (loc, scale) of every start; a mixture has an optimum per mode.
      method: "lbfgs", "adam", or "grid" (100 x 100 around each start, then L-BFGS).
      rule: "gauss_hermite", or "trapezoid"/"gauss_legendre" over four standard deviations either
        side, a window that moves with q.
      num_points: nodes of the rule.
      bounds: of `method="grid"`: the box ((lowest loc, highest loc), (lowest scale, highest scale))
        that is searched instead of the surroundings of `starts`.
      dtype: of the search.

    Raises:
      ValueError: for an unknown method, bounds that do not fit, or a target with a bounded support,
        from which every Gaussian diverges.

    Example:
        >>> from gmmvi_ext.divergences import fit_reverse_kl
        >>> def log_density(x):  # two modes, at -4 and 4
        ...     return tf.reduce_logsumexp([-0.5 * (x - 4.0) ** 2, -0.5 * (x + 4.0) ** 2], axis=0)
        >>> fits = fit_reverse_kl(log_density, starts=[(-3.0, 1.0), (3.0, 1.0)])
        >>> print(sorted(round(float(fitted.loc), 2) for fitted in fits))
        [-4.0, 4.0]
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}, got {method!r}.")
    if bounds is not None:
        _check_bounds(bounds, method)
        starts = [(float(np.mean(bounds[0])), float(np.mean(bounds[1])))]
    pairs = as_numbers(starts, "`starts`")
    is_pairs = pairs.ndim == 2 and pairs.shape[1] == 2 and np.isfinite(pairs).all()
    if not is_pairs or np.any(pairs[:, 1] <= 0):
        raise ValueError(f"`starts` must be pairs (loc, scale) with scales > 0, got {starts!r}.")
    dtype = floating_dtype(dtype)
    _refuse_bounded(target)

    def divergence(free):
        loc, scale = free[0], tf.exp(free[1])
        q = tfd.Normal(loc, scale)
        ends = (loc, scale)
        if rule != "gauss_hermite":
            ends = loc - WINDOW_STDDEVS * scale, loc + WINDOW_STDDEVS * scale
        return kl_quadrature(q, target, *ends, num_points, rule=rule)

    objective = tf.function(
        lambda free: divergence(free).value, reduce_retracing=True, autograph=False
    )
    tolerance = 1e-12 if getattr(target, "dtype", tf.float64) == tf.float64 else 1e-5
    fits = []
    for loc, scale in pairs:
        free = tf.constant([loc, np.log(scale)], dtype)
        if method == "grid":
            free = _best_of_grid(objective, free, bounds)
        free = _adam(objective, free) if method == "adam" else _lbfgs(objective, free, tolerance)
        at_end = divergence(free)
        fits.append(GaussianFit(free[0], tf.exp(free[1]), at_end.value, at_end.mass))
    return sorted(fits, key=lambda fit: float(fit.kl))


def fit_forward_kl(
    target: DensityLike,
    low: TensorLike | None = None,
    high: TensorLike | None = None,
    *,
    num_points: int = 10_001,
    dtype: DTypeLike = tf.float64,
) -> GaussianFit:
    """The Gaussian with the smallest KL(target || q): the one with the target's moments.

    Args:
      target: distribution; with `low` and `high` also an unnormalized log density.
      low: lower end of the range over which moments are integrated; the whole support if None.
      high: upper end.
      num_points: nodes on the range.
      dtype: of the integration.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import fit_forward_kl
        >>> gamma = tfp.distributions.Gamma(np.float64(4.0), np.float64(2.0))
        >>> fitted = fit_forward_kl(gamma)
        >>> round(float(fitted.loc), 3), round(float(fitted.scale), 3)  # the moments of `gamma`
        (2.0, 1.0)
    """
    require_both_or_neither(low, high)
    require_count("num_points", num_points, at_least=2)
    if low is None:
        return _moments_of(target, dtype)
    log_prob = support.log_density(target, dtype)
    x, w = nodes("trapezoid", low, high, num_points, dtype)
    share = tf.nn.softmax(log_prob(x) + tf.math.log(w))
    loc = tf.reduce_sum(share * x)
    scale = tf.sqrt(tf.reduce_sum(share * tf.square(x - loc)))
    at_end = kl_quadrature(target, tfd.Normal(loc, scale), low, high, num_points)
    return GaussianFit(loc, scale, at_end.value, at_end.mass)


def _moments_of(target, dtype) -> GaussianFit:
    """By the nodes of the target's support, which need no formula for its moments."""
    at_nodes = support_nodes(target)
    share = tf.nn.softmax(at_nodes.log_mass, axis=0)
    x = tf.cast(at_nodes.x, tf.float64)
    x = tf.where(share > 0, x, tf.zeros_like(x))
    loc = tf.reduce_sum(share * x, axis=0)
    scale = tf.sqrt(tf.reduce_sum(share * tf.square(x - loc), axis=0))
    loc, scale = tf.cast(loc, dtype), tf.cast(scale, dtype)
    at_end = kl_on_support(target, tfd.Normal(loc, scale))
    if not bool(tf.reduce_all(tf.math.is_finite(at_end.value))):
        raise ValueError(
            f"the target {target.name!r} has no finite variance, so every Gaussian diverges from "
            "it; give `low` and `high` to fit the part of it between them."
        )
    return GaussianFit(loc, scale, tf.cast(at_end.value, dtype), tf.cast(at_end.mass, dtype))


def _refuse_bounded(target) -> None:
    if not hasattr(target, "log_prob"):
        require_function("target", target, "points, or a distribution")
        return
    low, high = support.ends(target)
    if bool(tf.reduce_any(tf.math.is_finite(low) | tf.math.is_finite(high))):
        raise ValueError(
            f"the support of the target {target.name!r} is ({float(low):g}, {float(high):g}); the "
            "reverse divergence from every Gaussian is infinite. Fit on the line: "
            "`gmmvi_ext.constraints.unconstrain(target)`."
        )


def _check_bounds(bounds, method: str) -> None:
    box = as_numbers(bounds, "`bounds`")
    fits = box.shape == (2, 2) and np.all(np.isfinite(box)) and np.all(box[:, 0] < box[:, 1])
    if method != "grid" or not fits or not box[1, 0] > 0:
        raise ValueError(
            "`bounds` must be ((lowest loc, highest loc), (lowest scale, highest scale)) with "
            f"scales > 0 and goes with `method='grid'`, got {bounds!r} with {method!r}."
        )


def _lbfgs(objective: Callable, free: tf.Tensor, tolerance: float) -> tf.Tensor:
    result = tfp.optimizer.lbfgs_minimize(
        lambda x: tfp.math.value_and_gradient(objective, x),
        initial_position=free,
        tolerance=tolerance,
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


def _best_of_grid(objective: Callable, free: tf.Tensor, bounds) -> tf.Tensor:
    if bounds is None:
        locs = tf.linspace(free[0] - 3, free[0] + 3, 100)
        logs = tf.linspace(free[1] - 2, free[1] + 2, 100)
    else:
        locs, scales = (tf.constant(np.linspace(*pair, 100), free.dtype) for pair in bounds)
        logs = tf.math.log(scales)
    points = tf.reshape(tf.stack(tf.meshgrid(locs, logs), axis=-1), [-1, 2])
    values = tf.vectorized_map(objective, points)
    return points[tf.argmin(values)]
