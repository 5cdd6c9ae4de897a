"""Exactly S fresh samples of every component, nothing reused: shapes depend on K alone.

The selector Q of later studies that compile the whole iteration (Blessing et al., 2024).
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.inference.sample_selectors.base import Proposal, SampleSelector

__all__ = ["FixedCountSampleSelector"]


@SampleSelector.registry.register("fixed-count", "fixed")
@dataclasses.dataclass(frozen=True)
class FixedCountSampleSelector(SampleSelector):
    """Draws the same number of samples from every component.

    Attributes:
      desired_samples_per_component: S, samples of each component.
    """

    def propose(self, mixture, window, component_id, seed):
        num, size = mixture.num_components, self.desired_samples_per_component
        draws = mixture.components.sample_each(size, seed)  # [K, S, D]
        x = tf.reshape(draws, [num * size, mixture.num_dimensions])
        index = tf.repeat(tf.range(num), size)
        return Proposal(x, index, tf.fill([num], size), window, None)
