"""A layout seen through learned coordinates: z -> x -> constrained values."""

from collections.abc import Mapping

import tensorflow as tf

from gmmvi_ext.constraints.coordinate_map import AnyMap
from gmmvi_ext.constraints.layout.base import Layout
from gmmvi_ext.lazy import lazy_module

__all__ = ["MappedLayout"]

affine_sinh_arcsinh = lazy_module("gmmvi_ext.constraints.affine_sinh_arcsinh")


class MappedLayout(Layout):
    """The parameters of `inner`, whose unconstrained points are x = map(z).

    Args:
      inner: layout of x.
      coordinate_map: from z to x.

    Attributes:
      inner, coordinate_map: as given.
    """

    def __init__(self, inner: Layout, coordinate_map: AnyMap):
        if inner.num_dimensions != coordinate_map.num_dimensions:
            raise ValueError(
                f"the coordinate map has {coordinate_map.num_dimensions} dimensions, the "
                f"parameters have {inner.num_dimensions} unconstrained ones."
            )
        self.inner, self.coordinate_map = inner, coordinate_map
        self.num_dimensions = inner.num_dimensions
        self.num_constrained = inner.num_constrained
        self.shapes = inner.shapes

    def split(self, x):
        return self.inner.split(self.coordinate_map.forward(x))

    def join(self, values: Mapping):
        return self.coordinate_map.inverse(self.inner.join(values))

    def log_det(self, x):
        outer = self.inner.log_det(self.coordinate_map.forward(x))
        return outer + self.coordinate_map.log_det(x)

    def split_with_log_det(self, x):
        values, outer = self.inner.split_with_log_det(self.coordinate_map.forward(x))
        return values, outer + self.coordinate_map.log_det(x)

    def held(self, x):
        if not self.has_held:
            return x
        outer = self.coordinate_map.forward(x)
        held = self.inner.held(outer)
        is_moved = held != outer
        if not self.coordinate_map.is_elementwise:
            is_moved = tf.reduce_any(is_moved, axis=-1, keepdims=True)
        return tf.where(is_moved, self.coordinate_map.inverse(held), x)

    @property
    def columns(self):
        return self.inner.columns if self.coordinate_map.is_elementwise else super().columns

    @property
    def has_held(self):
        return self.inner.has_held

    def contains(self, values):
        return self.inner.contains(values)

    def select(self, names):
        if not self.coordinate_map.is_elementwise:
            raise ValueError(
                "parameters whose coordinates a full map mixes have no marginal or conditional "
                "mixture in closed form: take them from draws, or fit with "
                "coordinates='elementwise' or 'identity'."
            )
        dims, inner = self.inner.select(names)
        return dims, MappedLayout(inner, self.coordinate_map.select(dims))

    def others(self, names):
        return self.inner.others(names)

    def as_bijector(self):
        bend = affine_sinh_arcsinh.bijector_of(self.coordinate_map)
        if self.inner.is_identity and self.inner.shapes is None:
            return bend
        return affine_sinh_arcsinh.tfb.Chain([self.inner.as_bijector(), bend])

    def spec(self):
        return {
            "kind": "mapped",
            "num_dimensions": self.num_dimensions,
            "shapes": self.inner.spec()["shapes"],
            "inner": self.inner.spec(),
            "coordinate_map": self.coordinate_map.spec(),
        }

    @property
    def constraints(self):
        return self.inner.constraints

    @property
    def is_elementwise(self):
        return self.coordinate_map.is_elementwise and self.inner.is_elementwise

    @property
    def element_coordinates(self):
        if self.coordinate_map.is_elementwise:
            return self.inner.element_coordinates
        return [None] * self.num_constrained
