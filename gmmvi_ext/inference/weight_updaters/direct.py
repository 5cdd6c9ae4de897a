"""Natural-gradient step on the weights in log space: log w' = log w + (s / temperature) R.

A step of size one is the exact maximizer for rewards held fixed (Arenz et al., 2023, section 3.2).
"""

import dataclasses

from gmmvi_ext.inference.weight_updaters.base import WeightUpdater
from gmmvi_ext.math.logspace import normalize_log_weights

__all__ = ["DirectWeightUpdater"]


@WeightUpdater.registry.register("direct")
@dataclasses.dataclass(frozen=True)
class DirectWeightUpdater(WeightUpdater):
    """Step of the given stepsize along the natural gradient."""

    def update(self, log_weights, rewards, stepsize, temperature):
        return normalize_log_weights(log_weights + stepsize / temperature * rewards)
