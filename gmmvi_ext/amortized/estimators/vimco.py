"""Importance-weighted bound without reparameterization: VIMCO (Mnih and Rezende, ICML 2016).

L = log mean_s exp f_s,     L_{-s}: f_s replaced by the mean of the other f
grad = sum_s [ (L - L_{-s}) grad log q(z_s | x) + w_s grad f_s ],    w = softmax(f)
"""

import dataclasses
import math
from typing import Annotated

import tensorflow as tf

from gmmvi_ext.amortized.estimators.base import Estimator
from gmmvi_ext.amortized.estimators.iwae import log_mean_exp
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl, draw, finish
from gmmvi_ext.ranges import Range
from gmmvi_ext.types import Seed

__all__ = ["Vimco"]


@ESTIMATORS.register("vimco")
@dataclasses.dataclass(frozen=True)
class Vimco(Estimator):
    """Scores the importance-weighted bound with leave-one-out baselines.

    Attributes:
      num_samples: draws of z for each datum, S >= 2.
    """

    needs = "anything"

    num_samples: Annotated[int, Range(2)] = 5

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        z = tf.stop_gradient(draw(terms.posterior, self.num_samples, seed))
        parts = (*terms.model_part(z), terms.posterior.log_prob(z))
        value = terms.value(*parts)  # [S, *B]
        bound = log_mean_exp(value)
        signal = tf.stop_gradient(bound - _bounds_without(value))
        weights = tf.stop_gradient(tf.nn.softmax(value, axis=0))
        surrogate = tf.reduce_sum(signal * parts[2] + weights * value, axis=0)
        return finish(terms, surrogate, *parts, bound=bound, num_decodes=self.num_samples)


def _bounds_without(value: tf.Tensor) -> tf.Tensor:
    """L_{-s} for every s, [S, *B]."""
    count = value.shape[0]
    others = (tf.reduce_sum(value, axis=0) - value) / (count - 1)  # geometric mean of the weights
    # Entry [s, t]: f_t, with f_s replaced where t == s.
    indices = tf.range(count)
    is_same = tf.equal(indices[:, tf.newaxis], indices)
    is_same = tf.reshape(is_same, [count, count] + [1] * (value.shape.rank - 1))
    table = tf.where(is_same, others[:, tf.newaxis], value[tf.newaxis])
    return tf.reduce_logsumexp(table, axis=1) - math.log(count)
