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
    effective_counts,
    whole_samples,
)

__all__ = ["VipsSampleSelector"]


@SampleSelector.registry.register("component-based")
@dataclasses.dataclass(frozen=True)
class VipsSampleSelector(ReusingSampleSelector):
    """Draws from every component what its effective sample size lacks."""

    def propose(self, mixture, window, component_id, seed):
        counts = tf.fill([mixture.num_components], self.desired_samples_per_component)
        log_prob = None
        if self.reuses:
            window, log_prob = self.reused(mixture, window, component_id)
            effective = effective_counts(log_prob, window)
            counts = tf.maximum(counts - whole_samples(effective), 1)
        x, index = sample_components(mixture.components, counts, seed)
        return Proposal(x, index, counts, window, log_prob)
