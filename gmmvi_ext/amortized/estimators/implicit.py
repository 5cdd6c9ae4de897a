"""Mixture posteriors: implicit reparameterization (Figurnov, Mohamed and Mnih, NeurIPS 2018;
Graves 2016).

The gradient of a draw follows from differentiating its conditional distribution functions, so that
weights and components all get pathwise gradients.
"""

import dataclasses

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.estimators.base import Estimator
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl, draw, finish
from gmmvi_ext.types import Seed

__all__ = ["Implicit"]


@ESTIMATORS.register("implicit")
@dataclasses.dataclass(frozen=True)
class Implicit(Estimator):
    """Differentiates through mixture draws."""

    needs = "mixture"

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        posterior = tfd.MixtureSameFamily(
            terms.posterior.mixture_distribution,
            terms.posterior.components_distribution,
            reparameterize=True,
        )
        z = draw(posterior, self.num_samples, seed)
        parts = (*terms.model_part(z), posterior.log_prob(z))
        surrogate = tf.reduce_mean(terms.value(*parts), axis=0)
        return finish(terms, surrogate, *parts, num_decodes=self.num_samples)
