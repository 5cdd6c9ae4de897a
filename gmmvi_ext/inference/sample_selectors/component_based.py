"""Every component gets S effective samples (Arenz et al., 2020, section 3.4; 2023, section 4.4).

The newest rho S K stored samples are weighted by w_kn ~ N_k(x_n) / b(x_n), b the density that drew
them. Component k then draws n_k = max(1, S - floor(ESS_k)), ESS_k = (sum w)^2 / sum w^2, new
samples.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.gaussians import sample_components
from gmmvi_ext.inference.sample_selectors.base import (
    Proposal,
    ReusingSampleSelector,
    SampleSelector,
)
from gmmvi_ext.math.logspace import effective_sample_size

__all__ = ["VipsSampleSelector"]


@SampleSelector.registry.register("component-based")
@dataclasses.dataclass(frozen=True)
class VipsSampleSelector(ReusingSampleSelector):
    """Draws from every component what its effective sample size lacks."""

    def propose(self, mixture, window, component_id, seed):
        window, log_prob, pairs, ratios = self.reused(mixture, window, component_id)
        counts = tf.fill([mixture.num_components], self.desired_samples_per_component)
        if self.reuses:
            effective = tf.cast(tf.floor(effective_sample_size(ratios)), tf.int32)
            counts = tf.maximum(counts - effective, 1)
        x, index = sample_components(mixture.components, counts, seed)
        return Proposal(x, index, counts, window, log_prob, pairs)
