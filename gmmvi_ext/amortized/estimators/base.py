"""What all gradient estimators share.

An estimator is a frozen dataclass. Called with the terms of a batch it returns a surrogate whose
gradient, with respect to everything trainable, estimates the gradient of the bound.
"""

import dataclasses
import re
from typing import Annotated, Any

import tensorflow as tf

from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, RewardControl
from gmmvi_ext.ranges import Range, check_ranges

__all__ = ["Estimator", "path_surrogate", "plain_reward"]


@dataclasses.dataclass(frozen=True)
class Estimator:
    """Gradient estimator.

    Class attributes:
      needs: what the posterior must offer: "anything", "reparameterized" or "mixture".
      uses_control: whether control variates act on it.

    Attributes:
      num_samples: draws of z for each datum, S.
    """

    needs = "reparameterized"
    uses_control = False

    num_samples: Annotated[int, Range(1)] = 1

    def __post_init__(self):
        check_ranges(self)

    def __call__(
        self, terms: BoundTerms, seed: tf.Tensor, control: RewardControl | None = None
    ) -> BoundEstimate:
        """Surrogate and figures of a batch.

        Args:
          terms: of the batch.
          seed: stateless, [2].
          control: acts on the reward of the score function, where there is one.
        """
        raise NotImplementedError

    def check(self, density: Any, *, is_controlled: bool) -> None:
        """Refuses posteriors and control variates that do not go with the estimator.

        Args:
          density: rule of the posterior (`DensityRule`).
          is_controlled: whether control variates are given.
        """
        kind = type(density).__name__
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        if self.needs == "reparameterized" and not density.is_reparameterized:
            way_out = "hybrid, stratified, implicit" if density.is_mixture else "rloo, vimco"
            raise ValueError(
                f"`estimator` {name!r} needs reparameterized draws, which the posterior {kind} "
                f"does not have; use score_function, {way_out}."
            )
        if self.needs == "mixture" and not density.is_mixture:
            raise ValueError(
                f"`estimator` {name!r} needs a mixture posterior, got {kind}; use the posterior "
                "'mixture', or another estimator."
            )
        if is_controlled and not self.uses_control:
            raise ValueError(
                f"`control_variates` have nothing to act on in the estimator {name!r}; leave them "
                "out, or use score_function or hybrid."
            )


def plain_reward(reward: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """No control variate."""
    return reward, tf.zeros([], reward.dtype)


def path_surrogate(terms: BoundTerms, z: tf.Tensor):
    """Pathwise part of the gradient, with the parameters of log q held fixed.

    The total derivative of f(z(phi); phi) along z alone: sum_l stop(df/dz_l) z_l. This holds for
    every reparameterized posterior, whatever its parameters.

    Args:
      terms: of the batch.
      z: reparameterized draws [S, *B, L].

    Returns:
      surrogate of the path [S, *B]; the draws without gradient; log p(x | z), log p(z) and
      log q(z | x) at them, [S, *B] each.
    """
    fixed = tf.stop_gradient(z)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(fixed)
        log_likelihood, log_prior = terms.model_part(fixed)
        log_posterior = terms.posterior.log_prob(fixed)
        value = terms.value(log_likelihood, log_prior, log_posterior)
    slope = tf.stop_gradient(tape.gradient(value, fixed))
    event_axes = [-1 - axis for axis in range(terms.event_ndims)]
    return (
        tf.reduce_sum(slope * z, axis=event_axes),
        fixed,
        log_likelihood,
        log_prior,
        log_posterior,
    )
