"""The seven design choices (Arenz et al., 2023, section 4), in the order of the code words."""

import dataclasses
from typing import Any

from gmmvi_ext.inference.component_adaptation import ComponentAdaptation
from gmmvi_ext.inference.component_updaters import NgBasedComponentUpdater
from gmmvi_ext.inference.ng_estimators import NgEstimator
from gmmvi_ext.inference.sample_selectors import SampleSelector
from gmmvi_ext.inference.stepsizes import ComponentStepsizeAdapter, WeightStepsizeAdapter
from gmmvi_ext.inference.weight_updaters import WeightUpdater

__all__ = ["ROLES", "ROLE_CLASSES", "Rules"]


@dataclasses.dataclass(frozen=True)
class Rules:
    """One rule of each role: what an algorithm does, apart from its state."""

    ng_estimator: NgEstimator
    component_adaptation: ComponentAdaptation
    sample_selector: SampleSelector
    component_updater: NgBasedComponentUpdater
    component_stepsize: ComponentStepsizeAdapter
    weight_updater: WeightUpdater
    weight_stepsize: WeightStepsizeAdapter

    @classmethod
    def build_from_config(cls, config: dict) -> "Rules":
        """The rules that `XXX_type` and `XXX_config` of a configuration name.

        Raises:
          ValueError: naming the key that is off.
        """
        rules: list[Any] = [role.build_from_config(config) for role in ROLE_CLASSES]
        return cls(*rules)

    @classmethod
    def by_role(cls, rules: dict) -> "Rules":
        """From role (prefix of its keys) -> rule."""
        return cls(*(rules[role.role] for role in ROLE_CLASSES))


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
