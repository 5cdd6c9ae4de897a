"""Score function (REINFORCE; Mnih and Gregor 2014 for the reward and its control variates).

    grad_lambda = mean_s [ (r_s - b) grad log q(z_s | x) ],   r_s = f(z_s)
    grad_theta  = mean_s [ grad log p(x, z_s) ]

The draws carry no gradient: TFP's mixture draws would leak one. Every draw has its own reward.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.amortized.estimators.base import Estimator, plain_reward
from gmmvi_ext.amortized.roles import ESTIMATORS
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl, draw, finish
from gmmvi_ext.types import Seed

__all__ = ["ScoreFunction", "scored"]


@ESTIMATORS.register("score_function", "reinforce", "sfe")
@dataclasses.dataclass(frozen=True)
class ScoreFunction(Estimator):
    """Scores draws; works for every posterior, discrete ones included."""

    needs = "anything"
    uses_control = True

    def __call__(
        self, terms: BoundTerms, seed: Seed, control: RewardControl | None = None
    ) -> BoundEstimate:
        z = tf.stop_gradient(draw(terms.posterior, self.num_samples, seed))
        return scored(terms, z, control or plain_reward, self.num_samples)


def scored(terms, z, control, num_samples: int):
    """`BoundEstimate` of the score function at draws without gradient [S, *B, L]."""
    log_likelihood, log_prior = terms.model_part(z)
    log_posterior = terms.posterior.log_prob(z)
    reward = tf.stop_gradient(terms.value(log_likelihood, log_prior, log_posterior))
    signal, control_loss = control(reward)
    model = log_likelihood + terms.beta(reward.dtype) * log_prior
    surrogate = tf.reduce_mean(tf.stop_gradient(signal) * log_posterior + model, axis=0)
    return finish(
        terms,
        surrogate,
        log_likelihood,
        log_prior,
        log_posterior,
        control_loss=control_loss,
        num_decodes=num_samples,
    )
