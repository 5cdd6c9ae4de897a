"""Parametrizations: store x, train x, read y = f(x), computed once per step.

    register_parametrization(layer, "recurrent_kernel", Orthogonal())

Not to be confused with Keras constraints, which project a weight after each step.
"""

from gmmvi_ext.constraints.parametrize.cache import cached
from gmmvi_ext.constraints.parametrize.exponential import expm
from gmmvi_ext.constraints.parametrize.maps import (
    LowRank,
    SpectralNorm,
    UnitNorm,
    box,
    nonnegative,
)
from gmmvi_ext.constraints.parametrize.orthogonal import Grassmannian, Invertible, Orthogonal
from gmmvi_ext.constraints.parametrize.parametrization import Parametrization
from gmmvi_ext.constraints.parametrize.register import (
    is_parametrized,
    register_parametrization,
    remove_parametrizations,
    type_before_parametrizations,
)
from gmmvi_ext.constraints.parametrize.triangles import PositiveSemidefinite, Skew, Symmetric

__all__ = [
    "Grassmannian",
    "Invertible",
    "LowRank",
    "Orthogonal",
    "Parametrization",
    "PositiveSemidefinite",
    "Skew",
    "SpectralNorm",
    "Symmetric",
    "UnitNorm",
    "box",
    "cached",
    "expm",
    "is_parametrized",
    "nonnegative",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]
