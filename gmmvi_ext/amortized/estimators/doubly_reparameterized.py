"""Doubly reparameterized gradient of the importance-weighted bound (Tucker et al., ICLR 2019).

    w_s = softmax(f)_s:   grad_lambda = sum_s w_s^2 df/dz_s dz_s/dlambda,
                          grad_theta  = sum_s w_s grad log p(x, z_s)

Unbiased for every S, unlike sticking the landing; its signal-to-noise ratio grows with S.
"""

import dataclasses
from typing import Annotated

import tensorflow as tf

from gmmvi_ext.amortized.estimators.base import Estimator, path_surrogate
from gmmvi_ext.amortized.estimators.iwae import log_mean_exp
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl, draw, finish
from gmmvi_ext.ranges import Range
from gmmvi_ext.types import Seed

__all__ = ["DoublyReparameterized"]


@ESTIMATORS.register("doubly_reparameterized", "doubly_reparameterised", "dreg")
@dataclasses.dataclass(frozen=True)
class DoublyReparameterized(Estimator):
    """Differentiates the importance-weighted bound along the draws only.

    Attributes:
      num_samples: draws of z for each datum, S.
    """

    num_samples: Annotated[int, Range(1)] = 5

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        z = draw(terms.posterior, self.num_samples, seed)
        path, _, log_likelihood, log_prior, log_posterior = path_surrogate(terms, z)
        value = terms.value(log_likelihood, log_prior, log_posterior)
        weights = tf.stop_gradient(tf.nn.softmax(value, axis=0))
        model = log_likelihood + terms.beta(path.dtype) * log_prior
        surrogate = tf.reduce_sum(tf.square(weights) * path + weights * model, axis=0)
        return finish(
            terms,
            surrogate,
            log_likelihood,
            log_prior,
            log_posterior,
            bound=log_mean_exp(value),
            num_decodes=self.num_samples,
        )
