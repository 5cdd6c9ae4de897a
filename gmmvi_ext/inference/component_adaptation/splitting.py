"""Copies of components that fit badly where they are: new components with weight at once.

A component that VIPS adds starts without weight at a point that is not covered: dozens of
iterations, and their evaluations, pass until it helps. A mode that is covered already but is no
Gaussian (skewed, heavy-tailed) is better fitted by splitting what covers it. With r(x) = log target
- log q, a component that holds the candidates x_n fits badly by

    f_k = w_k Var_n r(x_n) / 2

(the KL that it is off by, to second order; candidates were drawn by past mixtures, so this ranks
components and is no estimate). The worst are split: a copy moves by one standard deviation towards
the candidate x where r is largest, and joins with half of the weight,

    mu' = mu + min(1, 1/|z|) (x - mu),   z = L^{-1} (x - mu),   Sigma' = Sigma,   w' = w / 2.

Where most of Var_n r(x_n) is a matter of |z|^2 alone (a quadratic in it, by least squares, leaves
less than half of the variance), as for a heavy-tailed mode, no direction is better than another:
the copy stays and changes its size instead, also by one standard deviation, that of the radius,

    mu' = mu,   Sigma' = (1 +- 1 / sqrt(2 D))^2 Sigma,   w' = w / 2,

growing if |z|^2 > D where r is largest and shrinking otherwise. Both kinds are half a nat of KL
away from what they split. The mixture hardly changes, and both halves go their ways from there. A
component that fits exactly is never split.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Components, LowRankGaussians, Mixture

__all__ = ["Held", "split_worst"]

MIN_MISFIT = 1e-3  # nats of KL: what is left below is not worth a component
SHIFT = 1.0  # standard deviations
MIN_RADIAL_SHARE = 0.5  # of the misfit's variance, for a copy of another size


class Held(NamedTuple):
    """Candidates within the typical radius of the component that dominates there, M of them.

    Attributes:
      x: the points, [M, D].
      component: what holds each, int32 [M].
      squared_distance: |z|^2 from it, [M].
      log_ratio: log target - log q, [M].
    """

    x: tf.Tensor
    component: tf.Tensor
    squared_distance: tf.Tensor
    log_ratio: tf.Tensor


def split_worst(mixture: Mixture, held: Held, most: tf.Tensor) -> Mixture:
    """The copies that join, at most `most` of them; their log weights are relative to `mixture`'s.

    Args:
      mixture: K components.
      held: candidates to judge them by.
      most: int32 scalar; fewer are split where fewer fit badly.
    """
    num = mixture.num_components
    misfit = _misfit(mixture, held)
    wanted = tf.math.count_nonzero(misfit > MIN_MISFIT, dtype=tf.int32)
    parent = tf.math.top_k(misfit, tf.clip_by_value(tf.minimum(most, wanted), 0, num)).indices

    highest = tf.math.unsorted_segment_max(held.log_ratio, held.component, num)
    is_highest = held.log_ratio >= tf.gather(highest, held.component)
    rows = tf.where(is_highest, tf.range(tf.size(held.log_ratio)), -1)
    row = tf.gather(tf.math.unsorted_segment_max(rows, held.component, num), parent)

    loc = tf.gather(mixture.components.loc, parent)
    square = tf.gather(held.squared_distance, row)
    share = tf.minimum(tf.math.divide_no_nan(tf.cast(SHIFT, loc.dtype), tf.sqrt(square)), 1.0)
    moved = loc + tf.expand_dims(share, 1) * (tf.gather(held.x, row) - loc)

    is_radial = tf.gather(_radial_share(mixture, held), parent) > MIN_RADIAL_SHARE
    dim = mixture.num_dimensions
    sign = tf.where(square > dim, tf.ones_like(square), -tf.ones_like(square))
    factor = tf.where(is_radial, 1.0 + sign * SHIFT / math.sqrt(2.0 * dim), tf.ones_like(square))
    copies = type(mixture.components)(
        tf.where(tf.expand_dims(is_radial, 1), loc, moved),
        *(tf.gather(field, parent) for field in mixture.components[1:]),
    )
    log_weights = tf.gather(mixture.log_weights, parent) - math.log(2.0)
    return Mixture(log_weights, _resized(copies, factor))


def _resized(components: Components, factor: tf.Tensor) -> Components:
    """The same components with standard deviations times `factor` [K]."""
    column = tf.expand_dims(factor, 1)
    if isinstance(components, LowRankGaussians):
        return components._replace(
            cov_diag_factor=tf.square(column) * components.cov_diag_factor,
            cov_perturb_factor=tf.expand_dims(column, -1) * components.cov_perturb_factor,
        )
    loc, scale = components
    return type(components)(loc, tf.reshape(factor, [-1] + [1] * (scale.shape.rank - 1)) * scale)


def _radial_share(mixture: Mixture, held: Held) -> tf.Tensor:
    """Share of Var_n r(x_n) that a quadratic in |z|^2 explains, [K]; adjusted for its two terms.

    0 where there are too few candidates to tell.
    """
    num, dim = mixture.num_components, mixture.num_dimensions

    def total(values):
        return tf.math.unsorted_segment_sum(values, held.component, num)

    count = total(tf.ones_like(held.log_ratio))

    def centered(values):
        mean = tf.math.divide_no_nan(total(values), count)
        return values - tf.gather(mean, held.component)

    t = centered((held.squared_distance - dim) / math.sqrt(2.0 * dim))
    residual = centered(held.log_ratio)
    variance = total(tf.square(residual))
    left = residual
    second = centered(tf.square(t))
    # Gram and Schmidt: the slope in t, then that in what t leaves of t^2.
    second -= t * tf.gather(
        tf.math.divide_no_nan(total(t * second), total(tf.square(t))), held.component
    )
    for regressor in (t, second):
        slope = tf.math.divide_no_nan(total(regressor * left), total(tf.square(regressor)))
        left -= tf.gather(slope, held.component) * regressor
    unexplained = tf.math.divide_no_nan(total(tf.square(left)), variance)
    adjusted = 1.0 - unexplained * tf.math.divide_no_nan(count - 1.0, count - 3.0)
    return tf.where((count > 3.0) & (variance > 0), adjusted, tf.zeros_like(adjusted))


def _misfit(mixture: Mixture, held: Held) -> tf.Tensor:
    """f_k, [K]; 0 where a component holds nothing."""
    num = mixture.num_components

    def mean(values):
        total = tf.math.unsorted_segment_sum(values, held.component, num)
        return tf.math.divide_no_nan(total, count)

    count = tf.math.unsorted_segment_sum(tf.ones_like(held.log_ratio), held.component, num)
    centered = held.log_ratio - tf.gather(mean(held.log_ratio), held.component)
    return 0.5 * tf.exp(mixture.log_weights) * mean(tf.square(centered))
