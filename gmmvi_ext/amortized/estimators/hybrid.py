"""Mixture posteriors: score function for the weights, pathwise for the components.

    c ~ Cat(w), z = loc_c + scale_c eps:    surrogate = f(z) + stop(f(z) - b) log w_c

Unbiased: grad sum_c w_c E f(z_c) = sum_c w_c grad log w_c E f(z_c) + sum_c w_c E grad f(z_c).
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.amortized.estimators.base import Estimator, path_surrogate, plain_reward
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl, finish
from gmmvi_ext.types import Seed

__all__ = ["Hybrid", "component_draws"]


@ESTIMATORS.register("hybrid")
@dataclasses.dataclass(frozen=True)
class Hybrid(Estimator):
    """Samples the component.

    Attributes:
      num_samples: draws of z for each datum, S.
      stick: hold the parameters of log q in f fixed, as in sticking the landing.
    """

    needs = "mixture"
    uses_control = True

    stick: bool = False

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        seeds = tf.unstack(tf.random.split(seed, 2))
        draws = component_draws(terms.posterior, self.num_samples, seeds[0])  # [S, *B, C, L]
        weights = terms.posterior.mixture_distribution
        chosen = weights.sample(self.num_samples, seed=seeds[1])  # [S, *B]
        axis = -1 - terms.event_ndims  # of the components
        one_hot = tf.one_hot(chosen, draws.shape[axis], dtype=draws.dtype)
        for _ in range(terms.event_ndims):
            one_hot = tf.expand_dims(one_hot, -1)
        z = tf.reduce_sum(one_hot * draws, axis=axis)
        if self.stick:
            path, _, log_likelihood, log_prior, log_posterior = path_surrogate(terms, z)
            moved = path + log_likelihood + terms.beta(path.dtype) * log_prior
        else:
            log_likelihood, log_prior = terms.model_part(z)
            log_posterior = terms.posterior.log_prob(z)
            moved = terms.value(log_likelihood, log_prior, log_posterior)
        reward = tf.stop_gradient(terms.value(log_likelihood, log_prior, log_posterior))
        signal, control_loss = (control or plain_reward)(reward)
        scored = tf.stop_gradient(signal) * weights.log_prob(chosen)
        surrogate = tf.reduce_mean(moved + scored, axis=0)
        return finish(
            terms,
            surrogate,
            log_likelihood,
            log_prior,
            log_posterior,
            control_loss=control_loss,
            num_decodes=self.num_samples,
        )


def component_draws(mixture, num_samples: int, seed) -> tf.Tensor:
    """Reparameterized draws of every component, [S, *B, C, *event]."""
    return mixture.components_distribution.sample(num_samples, seed=seed)
