"""Rules for the number of components."""

from gmmvi_ext.inference.component_adaptation.adaptive import VipsComponentAdaptation
from gmmvi_ext.inference.component_adaptation.base import (
    Candidates,
    ComponentAdaptation,
    Prior,
)
from gmmvi_ext.inference.component_adaptation.fixed import FixedComponentAdaptation

__all__ = [
    "Candidates",
    "ComponentAdaptation",
    "FixedComponentAdaptation",
    "Prior",
    "VipsComponentAdaptation",
]
