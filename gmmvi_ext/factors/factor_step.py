"""Natural-gradient steps on the factors q(F), which raise the bound at fixed noise.

By concavity of the logarithm the bound is at least, and at the current q equal to, a sum over
entries of

    Q(mu, s) = A mu + B s - w g(mu, s) - (mu^2 + s^2) / (2 s0^2) + log s

with A, B the sample means of c_e = e^{F_e} (W^T X / R_e) and of c_e eps_e, w_l = sum_j W_jl and g
the exact or sampled mean of e^F. A step along the natural gradient of Q, halved entry by entry
until Q does not fall, cannot lower the bound. Several such steps share one pass over the data.
"""

import tensorflow as tf

from gmmvi_ext.factors.bounds import Terms, make_terms, sampled_exposure
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.count_products import ratio_products
from gmmvi_ext.natural import mean_std_to_natural, natural_step, natural_to_mean_std
from gmmvi_ext.ranges import Count, NonNegative, Positive, checked
from gmmvi_ext.types import Seed, TensorLike

__all__ = ["factor_step"]

MAX_HALVINGS = 12


@checked
def factor_step(
    counts: TensorLike,
    weights: TensorLike,
    loc: TensorLike,
    scale: TensorLike,
    prior_scale: TensorLike,
    *,
    mode: str = "lower-bound",
    stepsize: Positive = 1.0,
    num_inner: Count = 3,
    num_samples: Count = 3,
    seed: Seed = (0, 0),
    eps: NonNegative = 1e-8,
) -> tuple[tf.Tensor, tf.Tensor]:
    """New (loc, scale), both [L, N].

    Args:
      counts: X [D, N], dense or sparse tensor.
      weights: W [D, L].
      loc: mu.
      scale: sigma.
      prior_scale: s0, scalar or [L].
      mode: of the bound.
      stepsize: rho of the natural step, before halving.
      num_inner: natural steps per pass over the data.
      num_samples: draws of F, for the sampled modes.
      seed: stateless seed [2]; the same seed is the same noise.
      eps: added to the rates in ratios.

    Example:
        >>> from gmmvi_ext.factors import factor_step, poisson_bound
        >>> counts, weights = tf.constant([[4.0, 2.0], [1.0, 1.0]]), tf.ones([2, 1])
        >>> before = tf.zeros([1, 2]), tf.ones([1, 2])
        >>> after = factor_step(counts, weights, *before, prior_scale=1.0)
        >>> bool(poisson_bound(counts, weights, *after) > poisson_bound(counts, weights, *before))
        True
    """
    terms = make_terms(loc, scale, mode, num_samples=num_samples, seed=seed)
    products = ratio_products(counts, weights, terms.exposure, eps)
    pull = terms.exposure * products.columns  # c_e
    if mode == "lower-bound":
        slope_loc, slope_scale = pull, tf.zeros_like(pull)
    else:
        slope_loc = tf.reduce_mean(pull, axis=0)
        slope_scale = tf.reduce_mean(pull * terms.noise, axis=0)
    totals = tf.reduce_sum(weights, axis=0)[:, tf.newaxis]
    precision = 1 / tf.square(to_dtype(prior_scale, loc.dtype))
    precision = precision[:, tf.newaxis] if precision.shape.rank == 1 else precision

    def surrogate(loc, scale):
        mean = _mean_exposure(loc, scale, terms, mode)
        prior = 0.5 * precision * (tf.square(loc) + tf.square(scale))
        fit = slope_loc * loc + slope_scale * scale - totals * mean
        return fit - prior + tf.math.log(scale)

    for _ in range(num_inner):
        loc, scale = _ascend(surrogate, loc, scale, stepsize)
    return loc, scale


def _mean_exposure(loc, scale, terms: Terms, mode: str):
    if mode == "simple":
        return tf.reduce_mean(sampled_exposure(loc, scale, terms.noise), axis=0)
    return tf.exp(loc + 0.5 * tf.square(scale))


def _ascend(surrogate, loc, scale, stepsize):
    """One natural step per entry, halved until the surrogate does not fall."""
    with tf.GradientTape() as tape:
        theta = mean_std_to_natural(loc, scale)
        tape.watch(theta)
        before = surrogate(*natural_to_mean_std(*theta))
        loss = -tf.reduce_sum(before)
    grads = tape.gradient(loss, theta)

    def attempt(rate):
        new = natural_to_mean_std(*natural_step(theta, grads, rate))
        after = surrogate(*new)
        return new, tf.math.is_finite(after) & (after >= before)

    def halve(rate, good, new_loc, new_scale):
        rate = tf.where(good, rate, 0.5 * rate)
        (new_loc, new_scale), good = attempt(rate)
        return rate, good, new_loc, new_scale

    rate = tf.fill(tf.shape(loc), to_dtype(stepsize, loc.dtype))
    (new_loc, new_scale), good = attempt(rate)
    _, good, new_loc, new_scale = tf.while_loop(
        lambda rate, good, *unused: tf.logical_not(tf.reduce_all(good)),
        halve,
        (rate, good, new_loc, new_scale),
        maximum_iterations=MAX_HALVINGS,
    )
    return tf.where(good, new_loc, loc), tf.where(good, new_scale, scale)
