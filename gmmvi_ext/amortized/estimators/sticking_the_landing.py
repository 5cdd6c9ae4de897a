"""Sticking the landing (Roeder, Wu and Duvenaud, NeurIPS 2017).

    grad_lambda = mean_s [ df/dz dz_s/dlambda ]

The score E_q[grad log q] = 0 is left out, so that the variance vanishes where q is the posterior.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.amortized.estimators.base import Estimator, path_surrogate
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl, draw, finish
from gmmvi_ext.types import Seed

__all__ = ["StickingTheLanding"]


@ESTIMATORS.register("sticking_the_landing", "stl")
@dataclasses.dataclass(frozen=True)
class StickingTheLanding(Estimator):
    """Differentiates along the draws only."""

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        z = draw(terms.posterior, self.num_samples, seed)
        path, _, log_likelihood, log_prior, log_posterior = path_surrogate(terms, z)
        model = log_likelihood + terms.beta(path.dtype) * log_prior
        surrogate = tf.reduce_mean(path + model, axis=0)
        return finish(
            terms,
            surrogate,
            log_likelihood,
            log_prior,
            log_posterior,
            num_decodes=self.num_samples,
        )
