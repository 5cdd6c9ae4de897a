"""Importance-weighted bound (Burda, Grosse and Salakhutdinov 2016), reparameterized.

L_S = log mean_s exp f(z_s)  <=  log p(x),      non-decreasing in S
"""

import dataclasses
import math
from typing import Annotated

import tensorflow as tf

from gmmvi_ext.amortized.estimators.base import Estimator
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl, draw, finish
from gmmvi_ext.ranges import Range
from gmmvi_ext.types import Seed

__all__ = ["Iwae"]


@ESTIMATORS.register("iwae")
@dataclasses.dataclass(frozen=True)
class Iwae(Estimator):
    """Differentiates the importance-weighted bound through the draws.

    Attributes:
      num_samples: draws of z for each datum, S; one gives the ELBO.
    """

    num_samples: Annotated[int, Range(1)] = 5

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        z = draw(terms.posterior, self.num_samples, seed)
        parts = (*terms.model_part(z), terms.posterior.log_prob(z))
        bound = log_mean_exp(terms.value(*parts))
        return finish(terms, bound, *parts, bound=bound, num_decodes=self.num_samples)


def log_mean_exp(values: tf.Tensor) -> tf.Tensor:
    """log of the mean of exp over the first axis."""
    count = values.shape[0]
    if count is not None:
        return tf.reduce_logsumexp(values, axis=0) - math.log(count)
    return tf.reduce_logsumexp(values, axis=0) - tf.math.log(
        tf.cast(tf.shape(values)[0], values.dtype)
    )
