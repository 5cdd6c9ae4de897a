"""Weight updaters."""

from gmmvi_ext.inference.weight_updaters.base import WeightUpdater
from gmmvi_ext.inference.weight_updaters.direct import DirectWeightUpdater
from gmmvi_ext.inference.weight_updaters.of_model import WeightUpdate, WeightUpdaterOfModel
from gmmvi_ext.inference.weight_updaters.trust_region import TrustRegionBasedWeightUpdater

__all__ = [
    "DirectWeightUpdater",
    "TrustRegionBasedWeightUpdater",
    "WeightUpdate",
    "WeightUpdater",
    "WeightUpdaterOfModel",
]
