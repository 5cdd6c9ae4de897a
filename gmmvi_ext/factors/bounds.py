"""Bounds of the Poisson factor model.

    X_jn ~ Poisson(sum_l W_jl e^{F_ln}),    F_ln ~ N(0, s0_l^2),    q(F_ln) = N(mu_ln, sigma_ln^2)

With E0 = e^mu, E1 = e^{mu + sigma^2 / 2}, R(F) = W e^F, and the KL of q subtracted in closed form:

    simple        mean_e [sum X log R(F_e) - sum R(F_e)]       both terms sampled
    expanded      mean_e  sum X log R(F_e) - sum W E1          linear term exact
    lower-bound           sum X log (W E0) - sum W E1          no sampling; below the other two

`simple` and `expanded` are unbiased for the same number and neither has the lower variance always:
near a good fit the two noises of `simple` cancel, far from it they add up. The control variate
subtracts c times (sampled - exact linear term), c by regression over the samples; c = 0 is
`expanded`, c = 1 is `simple`.
"""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.count_products import ratio_products
from gmmvi_ext.ranges import Count, NonNegative, checked, require_switches
from gmmvi_ext.types import Seed, TensorLike

__all__ = ["MODES", "Terms", "kl_of_factors", "make_terms", "poisson_bound"]

MODES = ("simple", "expanded", "lower-bound")
MAX_EXPONENT = 80.0  # exp stays finite in float32


class Terms(NamedTuple):
    """What the updates need from q(F).

    Attributes:
      exposure: E0 [L, N] for "lower-bound", samples e^{F_e} [S, L, N] otherwise.
      linear: [L, N], what multiplies W in the linear term: E1, or the sample mean for "simple".
      noise: standard normal draws [S, L, N], zeros [1, L, N] for "lower-bound".

    Example:
        >>> from gmmvi_ext.factors import make_terms
        >>> terms = make_terms(tf.zeros([2, 5]), tf.ones([2, 5]), "simple", num_samples=3)
        >>> terms.exposure.shape, terms.linear.shape, terms.noise.shape
        (TensorShape([3, 2, 5]), TensorShape([2, 5]), TensorShape([3, 2, 5]))
    """

    exposure: tf.Tensor
    linear: tf.Tensor
    noise: tf.Tensor


@checked
def make_terms(
    loc: TensorLike,
    scale: TensorLike,
    mode: str,
    *,
    num_samples: Count = 3,
    seed: Seed = (0, 0),
) -> Terms:
    """Terms at the current q: loc and scale [L, N].

    Example:
        >>> from gmmvi_ext.factors import make_terms
        >>> terms = make_terms(tf.zeros([1, 2]), tf.zeros([1, 2]), "lower-bound")  # F = 0 for sure
        >>> print(terms.exposure.numpy(), terms.linear.numpy())  # both e^0
        [[1. 1.]] [[1. 1.]]
    """
    check_mode(mode)
    limit = to_dtype(MAX_EXPONENT, loc.dtype)
    mean = tf.exp(tf.minimum(loc + 0.5 * tf.square(scale), limit))
    if mode == "lower-bound":
        zeros = tf.zeros_like(loc)[tf.newaxis]
        return Terms(tf.exp(tf.minimum(loc, limit)), mean, zeros)
    shape = tf.concat([[num_samples], tf.shape(loc)], axis=0)
    noise = tf.random.stateless_normal(shape, seed, dtype=loc.dtype)
    samples = sampled_exposure(loc, scale, noise)
    return Terms(samples, tf.reduce_mean(samples, axis=0) if mode == "simple" else mean, noise)


def sampled_exposure(loc, scale, noise) -> tf.Tensor:
    """e^{loc + scale noise}, [S, L, N]."""
    return tf.exp(tf.minimum(loc + scale * noise, to_dtype(MAX_EXPONENT, loc.dtype)))


@checked
def poisson_bound(
    counts: TensorLike,
    weights: TensorLike,
    loc: TensorLike,
    scale: TensorLike,
    prior_scale: TensorLike = 1.0,
    *,
    mode: str = "lower-bound",
    num_samples: Count = 3,
    seed: Seed = (0, 0),
    control_variate: bool = False,
    eps: NonNegative = 1e-8,
) -> tf.Tensor:
    """Bound on log p(X), a scalar, with the constant -sum log X!.

    Args:
      counts: X [D, N], dense or sparse tensor.
      weights: W [D, L].
      loc: mu [L, N].
      scale: sigma [L, N].
      prior_scale: s0, scalar or [L].
      mode: one of `MODES`.
      num_samples: draws of F, for the sampled modes.
      seed: stateless seed [2].
      control_variate: in mode "expanded", with at least three samples.
      eps: floor of the rates in logs.

    Example:
        >>> from gmmvi_ext.factors import poisson_bound
        >>> counts = tf.constant([[4.0, 2.0], [1.0, 1.0]])
        >>> good, bad = tf.constant([[3.0], [1.0]]), tf.constant([[1.0], [3.0]])
        >>> loc, scale = tf.zeros([1, 2]), 0.1 * tf.ones([1, 2])
        >>> bool(poisson_bound(counts, good, loc, scale) > poisson_bound(counts, bad, loc, scale))
        True
    """
    require_switches(control_variate=control_variate)
    terms = make_terms(loc, scale, mode, num_samples=num_samples, seed=seed)
    totals = tf.reduce_sum(weights, axis=0)  # [L]
    linear = tf.reduce_sum(totals[:, tf.newaxis] * terms.linear)
    if control_variate:
        if mode != "expanded":
            raise ValueError(f"`control_variate` needs `mode='expanded'`, got {mode!r}.")
        logs = tf.map_fn(lambda one: ratio_products(counts, weights, one, eps)[0], terms.exposure)
        noise = tf.linalg.matvec(tf.reduce_sum(terms.exposure, axis=-1), totals) - linear
        centered = noise - tf.reduce_mean(noise)
        slope = tf.math.divide_no_nan(
            tf.reduce_sum(centered * (logs - tf.reduce_mean(logs))),
            tf.reduce_sum(tf.square(centered)),
        )
        data = tf.reduce_mean(logs) - slope * tf.reduce_mean(noise) - linear
    else:
        data = ratio_products(counts, weights, terms.exposure, eps).log_term - linear
    values = counts.values if isinstance(counts, tf.SparseTensor) else counts
    constant = tf.reduce_sum(tf.math.lgamma(values + 1))
    return data - constant - tf.reduce_sum(kl_of_factors(loc, scale, prior_scale))


def kl_of_factors(loc: TensorLike, scale: TensorLike, prior_scale: TensorLike) -> tf.Tensor:
    """KL(N(loc, scale^2) || N(0, prior_scale^2)), [L, N].

    Example:
        >>> from gmmvi_ext.factors import kl_of_factors
        >>> print(kl_of_factors(tf.constant([[0.0, 1.0]]), tf.ones([1, 2]), 1.0).numpy())
        [[0.  0.5]]
    """
    prior = to_dtype(prior_scale, loc.dtype)
    prior = prior[:, tf.newaxis] if prior.shape.rank == 1 else prior
    ratio = tf.square(scale / prior)
    return 0.5 * (ratio + tf.square(loc / prior) - 1 - tf.math.log(ratio))


def check_mode(mode: str) -> None:
    """Refuses an unknown mode."""
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}, got {mode!r}.")
