"""Reparameterization (Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014).

    z = T(eps, lambda):    surrogate = mean_s log p(x | z_s) - beta KL(q || p)

with the KL divergence in closed form where there is one, else averaged over the same draws.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.amortized.estimators.base import Estimator
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import (
    BoundEstimate,
    BoundTerms,
    RewardControl,
    closed_form_rate,
    draw,
    finish,
)
from gmmvi_ext.types import Seed

__all__ = ["Reparameterized"]


@ESTIMATORS.register("reparameterized", "reparametrized", "reparameterised", "reparametrised")
@dataclasses.dataclass(frozen=True)
class Reparameterized(Estimator):
    """Differentiates through the draws.

    Attributes:
      num_samples: draws of z for each datum, S.
      closed_form_kl: use the closed form of the KL divergence where there is one.
    """

    closed_form_kl: bool = True

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        z = draw(terms.posterior, self.num_samples, seed)
        log_likelihood = terms.log_likelihood(z)
        rate = closed_form_rate(terms) if self.closed_form_kl else None
        log_prior = log_posterior = None
        if rate is None:
            log_prior, log_posterior = terms.prior.log_prob(z), terms.posterior.log_prob(z)
            rate = tf.reduce_mean(log_posterior - log_prior, axis=0)
        surrogate = tf.reduce_mean(log_likelihood, axis=0) - terms.beta(rate.dtype) * rate
        return finish(
            terms,
            surrogate,
            log_likelihood,
            log_prior,
            log_posterior,
            rate=rate,
            num_decodes=self.num_samples,
        )
