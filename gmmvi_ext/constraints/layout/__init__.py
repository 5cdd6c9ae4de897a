"""Layouts: named, shaped, constrained parameters <-> one flat unconstrained vector.

`PartsLayout({"mu": (), "w": (3,)}, {"w": "simplex"})` is what targets are made with, `make_layout`
reads what `Posterior` takes, `layout_from_spec` what a file holds.
"""

from gmmvi_ext.constraints.layout.base import Layout, LayoutError, element_names
from gmmvi_ext.constraints.layout.build import layout_from_spec, make_layout, require_agreement
from gmmvi_ext.constraints.layout.joint import JointLayout
from gmmvi_ext.constraints.layout.mapped import MappedLayout
from gmmvi_ext.constraints.layout.parts import Part, PartsLayout

__all__ = [
    "JointLayout",
    "Layout",
    "LayoutError",
    "MappedLayout",
    "Part",
    "PartsLayout",
    "element_names",
    "layout_from_spec",
    "make_layout",
    "require_agreement",
]
