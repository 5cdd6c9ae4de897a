"""A space whose bijector yields named parts itself, as a joint distribution's bijector does."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.posterior import bijector_spec
from gmmvi_ext.posterior.space import Space

__all__ = ["StructuredSpace"]


class StructuredSpace(Space):
    """One bijector from the vector to a dict (or named tuple) of parts.

    Parts may depend on each other (a bound may be a parameter), so they cannot be separated.

    Args:
      bijector: maps [D] to a flat dict or named tuple of tensors.
      num_dimensions: D.
      names: names of the parts in the structure's order, or None to take the structure's own.
      dtype: of all tensors.
    """

    def __init__(self, bijector, num_dimensions: int, names=None, dtype=tf.float32):
        self.bijector = bijector
        self.num_dimensions = int(num_dimensions)
        self.dtype = tf.as_dtype(dtype)
        example = bijector.forward(tf.zeros([2, num_dimensions], self.dtype))
        self._structure = example
        self._keys = _keys(example)
        names = list(self._keys) if names is None else list(names)
        if len(names) != len(self._keys):
            raise ValueError(f"{len(names)} names for {len(self._keys)} parts {self._keys}.")
        leaves = _leaves(example)
        self.shapes = {n: tuple(v.shape[1:]) for n, v in zip(names, leaves, strict=True)}
        self._ranks = self._pack_structure([len(shape) for shape in self.shapes.values()])

    def _pack_structure(self, leaves):
        if hasattr(self._structure, "_fields"):
            return type(self._structure)(*leaves)
        if isinstance(self._structure, dict):
            return type(self._structure)(zip(self._keys, leaves, strict=True))
        return type(self._structure)(leaves)

    def forward_flat(self, x):
        leaves = _leaves(self.bijector.forward(x))
        return tf.concat([tf.reshape(leaf, [tf.shape(x)[0], -1]) for leaf in leaves], axis=-1)

    def inverse_flat(self, y):
        parts = list(self.unpack(tf.identity(y)).values())
        return self.bijector.inverse(self._pack_structure(parts))

    def log_det(self, x):
        x = tf.identity(x)
        jacobian = self.bijector.forward_log_det_jacobian(x, event_ndims=1)
        return jacobian + tf.zeros(tf.shape(x)[:1], x.dtype)

    @property
    def num_constrained(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def select(self, names):
        raise ValueError(
            "the parts of a joint bijector may depend on each other and cannot be separated; give "
            "`bijector` as a dict with one entry per named part."
        )

    def as_bijector(self):
        return self.bijector

    def spec(self):
        return {
            "kind": "structured",
            "num_dimensions": self.num_dimensions,
            "bijector": bijector_spec.to_spec(self.bijector),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
        }


def _keys(structure) -> list[str]:
    if hasattr(structure, "_fields"):
        return list(structure._fields)
    if isinstance(structure, dict):
        return list(structure)
    return [f"part_{i}" for i in range(len(structure))]


def _leaves(structure) -> list:
    return list(structure.values()) if isinstance(structure, dict) else list(structure)
