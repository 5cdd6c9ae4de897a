"""The seven design choices (Arenz et al., 2023, section 4), in the order of the code words."""

from gmmvi_ext.inference.component_adaptation import ComponentAdaptation
from gmmvi_ext.inference.component_updaters import NgBasedComponentUpdater
from gmmvi_ext.inference.ng_estimators import NgEstimator
from gmmvi_ext.inference.sample_selectors import SampleSelector
from gmmvi_ext.inference.stepsizes import ComponentStepsizeAdapter, WeightStepsizeAdapter
from gmmvi_ext.inference.weight_updaters import WeightUpdater

__all__ = ["ROLES", "ROLE_CLASSES"]

ROLE_CLASSES = (
    NgEstimator,
    ComponentAdaptation,
    SampleSelector,
    NgBasedComponentUpdater,
    ComponentStepsizeAdapter,
    WeightUpdater,
    WeightStepsizeAdapter,
)

# Configuration prefix -> registry of the rules that may fill it.
ROLES = {role.role: role.registry for role in ROLE_CLASSES}
