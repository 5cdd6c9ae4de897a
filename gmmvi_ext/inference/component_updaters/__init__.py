"""Component updaters."""

from gmmvi_ext.inference.component_updaters.base import NgBasedComponentUpdater
from gmmvi_ext.inference.component_updaters.direct import DirectNgBasedComponentUpdater
from gmmvi_ext.inference.component_updaters.iblr import NgBasedComponentUpdaterIblr
from gmmvi_ext.inference.component_updaters.trust_region import (
    KLConstrainedNgBasedComponentUpdater,
)

__all__ = [
    "DirectNgBasedComponentUpdater",
    "KLConstrainedNgBasedComponentUpdater",
    "NgBasedComponentUpdater",
    "NgBasedComponentUpdaterIblr",
]
