"""Every component gets S effective samples (Arenz et al., 2020, section 3.4; 2023, section 4.4).

The newest rho S K stored samples are weighted by w_kn ~ N_k(x_n) / b(x_n), b the density that drew them.
Component k then draws n_k = max(1, S - floor(ESS_k)), ESS_k = (sum w)^2 / sum w^2, new samples.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.gaussians import sample_components
from gmmvi_ext.inference.locality import local_log_prob
from gmmvi_ext.inference.sample_selectors.base import Proposal, SampleSelector
from gmmvi_ext.math.logspace import effective_sample_size

__all__ = ["VipsSampleSelector"]


@SampleSelector.registry.register("component-based")
@dataclasses.dataclass(frozen=True)
class VipsSampleSelector(SampleSelector):
    """Draws from every component what its effective sample size lacks."""

    def propose(self, mixture, window, component_id, seed):
        num = mixture.num_components
        if not self.reuses:
            counts = tf.fill([num], self.desired_samples_per_component)
            old_log_prob, old_pairs = tf.zeros([0, 1], mixture.dtype) * mixture.log_weights, None
        else:
            window = window.newest(self.num_reused_per_component * num)
            # A component that is gone hands its samples to the next one: a label, not a claim.
            label = tf.minimum(
                tf.searchsorted(component_id, window.nearest_id), num - 1
            )
            old_log_prob, old_pairs = local_log_prob(
                mixture, window.x, label, tile_size=self.tile_size,
                share_ratio=self.desired_samples_per_component,
            )  # fmt: skip
            ratios = old_log_prob - window.proposal_log_prob[:, tf.newaxis]
            ratios = tf.where(
                window.is_valid[:, tf.newaxis], ratios, tf.cast(float("-inf"), ratios.dtype)
            )
            lacking = self.desired_samples_per_component - tf.cast(
                tf.floor(effective_sample_size(ratios)), tf.int32
            )
            counts = tf.maximum(lacking, 1)
        x, index = sample_components(mixture.components, counts, seed)
        return Proposal(x, index, counts, window, old_log_prob, old_pairs)
