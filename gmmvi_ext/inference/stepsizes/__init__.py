"""Stepsize rules for components and weights."""

from gmmvi_ext.inference.stepsizes.base import ComponentStepsizeAdapter, WeightStepsizeAdapter
from gmmvi_ext.inference.stepsizes.rules import (
    ComponentDecaying,
    ComponentFixed,
    ComponentImprovementBased,
    WeightDecaying,
    WeightFixed,
    WeightImprovementBased,
)

__all__ = [
    "ComponentDecaying",
    "ComponentFixed",
    "ComponentImprovementBased",
    "ComponentStepsizeAdapter",
    "WeightDecaying",
    "WeightFixed",
    "WeightImprovementBased",
    "WeightStepsizeAdapter",
]
