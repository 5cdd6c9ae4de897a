"""The number of components stays as it was at the start."""

import dataclasses

from gmmvi_ext.inference.component_adaptation.base import ComponentAdaptation

__all__ = ["FixedComponentAdaptation"]


@ComponentAdaptation.registry.register("fixed")
@dataclasses.dataclass(frozen=True)
class FixedComponentAdaptation(ComponentAdaptation):
    """Never adds, never deletes."""
