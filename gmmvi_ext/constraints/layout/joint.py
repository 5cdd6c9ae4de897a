"""A layout with one bijector for all parameters together.

It gives a structure of parameters, as the bijector of a joint distribution does whose supports
depend on each other (a bound may be a parameter), or one flat vector that names divide.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import specs
from gmmvi_ext.constraints.layout.base import Layout
from gmmvi_ext.ranges import require_name

if TYPE_CHECKING:
    from tensorflow_probability import bijectors as tfb

__all__ = ["JointLayout"]


class JointLayout(Layout):
    """Parameters that cannot be separated.

    Args:
      bijector: maps [D] to a vector, or to a flat dict, named tuple or list of tensors.
      num_dimensions: D.
      names: names of the parameters, in their order (keys of a dict in any order), or None to take
        the structure's own; for a bijector that gives a vector a dict name -> shape, or the names
        of its numbers.
      dtype: of a point that the bijector is tried at.

    Attributes:
      bijector: as given.
    """

    def __init__(
        self,
        bijector: "tfb.Bijector",
        num_dimensions: int,
        names: Sequence[str] | Mapping[str, Sequence[int]] | None = None,
        dtype=tf.float32,
    ):
        self.bijector = bijector
        self.num_dimensions = int(num_dimensions)
        example = bijector.forward(tf.zeros([2, num_dimensions], dtype))
        self._structure = None if tf.is_tensor(example) else example
        if self._structure is None:
            self.shapes = _divided(names, int(example.shape[-1]))
        else:
            keys, leaves = _keys(example), _leaves(example)
            names = keys if names is None else [require_name(n, "a parameter") for n in names]
            if len(names) != len(keys):
                raise ValueError(f"{len(names)} names for {len(keys)} parameters {keys}.")
            order = names if set(names) == set(keys) else keys
            self._places = [keys.index(key) for key in order]
            self.shapes = {
                name: tuple(leaves[place].shape[1:])
                for name, place in zip(names, self._places, strict=True)
            }
        self.num_constrained = sum(int(np.prod(shape)) for shape in self.shapes.values())

    def split(self, x):
        outer = self.bijector.forward(x)
        if self._structure is None:
            return self.unpack(outer)
        leaves = _leaves(outer)
        return {n: leaves[place] for n, place in zip(self.shapes, self._places, strict=True)}

    def join(self, values):
        parts = [tf.identity(tf.convert_to_tensor(values[name])) for name in self.shapes]
        if self._structure is None:
            sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
            pieces = [tf.reshape(part, [-1, n]) for part, n in zip(parts, sizes, strict=True)]
            return self.inverse_flat(tf.concat(pieces, axis=-1))
        leaves = [parts[self._places.index(i)] for i in range(len(parts))]
        return self.bijector.inverse(_packed_like(self._structure, leaves))

    def log_det(self, x):
        jacobian = self.bijector.forward_log_det_jacobian(tf.identity(x), event_ndims=1)
        return jacobian + tf.zeros_like(x[:, 0])

    def forward_flat(self, x):
        return self.bijector.forward(x) if self._structure is None else super().forward_flat(x)

    def inverse_flat(self, y):
        if self._structure is not None:
            return super().inverse_flat(y)
        return self.bijector.inverse(tf.identity(y))  # a copy is in no bijector's cache

    def others(self, names):
        return self.select(names)[1]

    def select(self, names):
        raise ValueError(
            "parameters under one joint bijector may depend on each other and cannot be separated; "
            "give `bijector` as a dict with one entry for each of them."
        )

    def as_bijector(self):
        return self.bijector

    def spec(self):
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        about = {"num_dimensions": self.num_dimensions, "shapes": shapes}
        try:
            return about | {"kind": "flat", "bijector": specs.to_spec(self.bijector)}
        except specs.UnserializableBijectorError as error:
            return about | {"kind": "unknown", "reason": str(error)}

    @property
    def is_elementwise(self):
        return self.bijector.forward_min_event_ndims == 0


def _divided(names, count: int) -> dict[str, tuple[int, ...]]:
    """Shapes of named parameters that divide a vector of `count` numbers."""
    pairs = names.items() if isinstance(names, Mapping) else ((name, ()) for name in names)
    shapes = {str(name): tuple(int(s) for s in shape) for name, shape in pairs}
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    if total != count:
        raise ValueError(
            f"`parameter_names` describe {total} numbers, but a draw has {count} (after the "
            "bijector)."
        )
    return shapes


def _packed_like(structure, leaves: list):
    if hasattr(structure, "_fields"):
        return type(structure)(*leaves)
    if isinstance(structure, dict):
        return type(structure)(zip(structure, leaves, strict=True))
    return type(structure)(leaves)


def _keys(structure) -> list[str]:
    if hasattr(structure, "_fields"):
        return list(structure._fields)
    if isinstance(structure, dict):
        return list(structure)
    return [f"part_{i}" for i in range(len(structure))]


def _leaves(structure) -> list:
    return list(structure.values()) if isinstance(structure, dict) else list(structure)
