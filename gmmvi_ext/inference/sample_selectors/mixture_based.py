"""Samples of the mixture as a whole (Lin et al., 2019; Arenz et al., 2023, section 4.4).

The newest rho S K stored samples are weighted by w_n ~ q(x_n) / b(x_n), b the density that drew
them. The mixture then draws max(1, S - floor(ESS)), ESS = (sum w)^2 / sum w^2, new samples in all:
a component gets its share of them, perhaps none.
"""

import dataclasses
from typing import Annotated

import tensorflow as tf

from gmmvi_ext.gaussians import sample_components
from gmmvi_ext.inference.sample_selectors.base import (
    Proposal,
    ReusingSampleSelector,
    SampleSelector,
    whole_samples,
)
from gmmvi_ext.math.logspace import effective_sample_size
from gmmvi_ext.ranges import FINITE_NON_NEGATIVE

__all__ = ["LinSampleSelector"]


@SampleSelector.registry.register("mixture-based")
@dataclasses.dataclass(frozen=True)
class LinSampleSelector(ReusingSampleSelector):
    """Draws from the mixture what its effective sample size lacks.

    Attributes:
      desired_samples_per_component: S, effective samples wanted of the whole mixture (the name is
        the reference's).
      ratio_reused_samples_to_desired: rho; the newest rho * S * K stored samples are reused,
        rounded up to whole iterations.
    """

    ratio_reused_samples_to_desired: Annotated[float, FINITE_NON_NEGATIVE] = 0.0

    @property
    def share_ratio(self) -> float:
        return float(self.desired_samples_per_component)

    @property
    def is_ragged(self) -> bool:
        return True

    def propose(self, mixture, window, component_id, seed):
        size = tf.constant(self.desired_samples_per_component)
        log_prob = None
        if self.reuses:
            window, log_prob = self.reused(mixture, window, component_id)
            log_ratio = log_prob.logsumexp(mixture.log_weights) - window.proposal_log_prob
            never = tf.cast(float("-inf"), log_ratio.dtype)
            log_ratio = tf.where(window.is_valid, log_ratio, never)
            size = tf.maximum(size - whole_samples(effective_sample_size(log_ratio)), 1)
        seeds = tf.random.split(seed, 2)
        drawn = tf.random.stateless_categorical(
            tf.expand_dims(mixture.log_weights, 0), size, seeds[0], dtype=tf.int32
        )[0]
        counts = tf.math.bincount(drawn, minlength=mixture.num_components)
        x, index = sample_components(mixture.components, counts, seeds[1])
        return Proposal(x, index, counts, window, log_prob)
