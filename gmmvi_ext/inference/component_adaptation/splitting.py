"""Copies of components that fit badly where they are: newcomers that count at once.

A component that VIPS adds starts without weight at a point that is not covered: dozens of
iterations, and their evaluations, pass until it helps. A mode that is covered already but is no
Gaussian (skewed, heavy-tailed) is better fitted by splitting what covers it. With r(x) = log target
- log q, a component that holds the candidates x_n fits badly by

    f_k = w_k Var_n r(x_n) / 2

(the KL that it is off by, to second order; candidates were drawn by past mixtures, so this ranks
components and is no estimate). The worst are split: a copy moves by one standard deviation towards
the candidate x where r is largest, and joins with half of the weight,

    mu' = mu + min(1, 1/|z|) (x - mu),   z = L^{-1} (x - mu),   Sigma' = Sigma,   w' = w / 2.

The mixture hardly changes, and both halves go their ways from there. A component that fits exactly
is never split.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture

__all__ = ["Held", "split_worst"]

MIN_MISFIT = 1e-3  # nats of KL: what is left below is not worth a component
SHIFT = 1.0  # standard deviations


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
    distance = tf.sqrt(tf.gather(held.squared_distance, row))
    share = tf.minimum(tf.math.divide_no_nan(tf.cast(SHIFT, loc.dtype), distance), 1.0)
    loc += share[:, tf.newaxis] * (tf.gather(held.x, row) - loc)
    scales = (tf.gather(field, parent) for field in mixture.components[1:])
    log_weights = tf.gather(mixture.log_weights, parent) - math.log(2.0)
    return Mixture(log_weights, type(mixture.components)(loc, *scales))


def _misfit(mixture: Mixture, held: Held) -> tf.Tensor:
    """f_k, [K]; 0 where a component holds nothing."""
    num = mixture.num_components

    def mean(values):
        total = tf.math.unsorted_segment_sum(values, held.component, num)
        return tf.math.divide_no_nan(total, count)

    count = tf.math.unsorted_segment_sum(tf.ones_like(held.log_ratio), held.component, num)
    centred = held.log_ratio - tf.gather(mean(held.log_ratio), held.component)
    return 0.5 * tf.exp(mixture.log_weights) * mean(tf.square(centred))
