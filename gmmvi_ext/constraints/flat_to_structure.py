"""A TFP bijector from one flat vector to a structure of shaped, constrained parameters.

    structured({"mu": (), "tau": (), "w": (3,)}, {"tau": "positive", "w": "simplex"})

maps [..., 4] (1 + 1 + 2 free numbers) to {"mu": [...], "tau": [...], "w": [..., 3]}. A mixture
lives in the flat space; the density in the constrained space carries the summed log-determinant.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from gmmvi_ext.constraints.base import UncachedBijector
from gmmvi_ext.ranges import require

__all__ = ["FlatToStructure"]


class FlatToStructure(UncachedBijector):
    """Splits the last axis into parts, reshapes them and applies a bijector over the structure.

    Args:
      bijector: bijector between two structures.
      event_shape: structure of the static shapes of the constrained parts.

    Attributes:
      num_dimensions: length D of the flat vector.
      part_sizes: structure of the flat lengths of the parts.

    Example:
        >>> from gmmvi_ext.constraints import structured
        >>> bijector = structured({"tau": (), "w": (3,)}, {"tau": "positive", "w": "simplex"})
        >>> bijector.num_dimensions  # a simplex of three entries has two free numbers
        3
        >>> {name: part.shape for name, part in bijector.forward(tf.zeros([5, 3])).items()}
        {'tau': TensorShape([5]), 'w': TensorShape([5, 3])}
    """

    def __init__(self, bijector: tfb.Bijector, event_shape: Any, *, name: str = "structured"):
        require(isinstance(name, str) and bool(name), "name", "a text that is not empty", name)
        shapes = tf.nest.map_structure(tf.TensorShape, event_shape, expand_composites=False)
        free_shapes = bijector.inverse_event_shape(shapes)
        flat = tf.nest.flatten(free_shapes)
        if not all(shape.is_fully_defined() for shape in flat):
            raise ValueError(
                f"`event_shape` must be static for every part, got free shapes {free_shapes}."
            )
        self._structure = tf.nest.map_structure(lambda shape: None, free_shapes)
        self._free_shapes = [tuple(shape) for shape in flat]
        self._sizes = [int(np.prod(shape)) for shape in self._free_shapes]
        self._bijector = bijector
        self._shapes = shapes
        self._free_ndims = tf.nest.map_structure(len, free_shapes)
        ndims = tf.nest.map_structure(len, shapes)
        super().__init__(
            forward_min_event_ndims=1,
            inverse_min_event_ndims=ndims,
            parameters={"bijector": bijector, "event_shape": shapes},
            name=name,
        )

    @property
    def num_dimensions(self) -> int:
        return sum(self._sizes)

    @property
    def part_sizes(self) -> Any:
        return self._pack(self._sizes)

    @property
    def event_shape(self) -> Any:
        """Structure of the constrained shapes."""
        return self._shapes

    def flatten(self, structure: Any) -> tf.Tensor:
        """Unconstrained parts [..., *free shape] as one tensor [..., D]."""
        columns = []
        for part, shape, size in zip(
            tf.nest.flatten(structure), self._free_shapes, self._sizes, strict=True
        ):
            batch = tf.shape(part)[: part.shape.rank - len(shape)]
            columns.append(tf.reshape(part, tf.concat([batch, [size]], axis=0)))
        return tf.concat(columns, axis=-1)

    def split(self, x: tf.Tensor) -> Any:
        """Flat tensor [..., D] as a structure of unconstrained parts."""
        batch = tf.shape(x)[:-1]
        parts = tf.split(x, self._sizes, axis=-1)
        reshaped = []
        for part, shape in zip(parts, self._free_shapes, strict=True):
            out = tf.reshape(part, tf.concat([batch, np.asarray(shape, np.int32)], axis=0))
            out.set_shape(x.shape[:-1].concatenate(shape))
            reshaped.append(out)
        return self._pack(reshaped)

    def _pack(self, flat: list):
        return tf.nest.pack_sequence_as(self._structure, flat)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    @property
    def _parts_interact(self):
        return True

    def _forward(self, x):
        return self._bijector.forward(self.split(tf.identity(x)))

    def _inverse(self, y):
        return self.flatten(self._bijector.inverse(tf.nest.map_structure(tf.identity, y)))

    def _forward_log_det_jacobian(self, x):
        return self._bijector.forward_log_det_jacobian(
            self.split(tf.identity(x)), event_ndims=self._free_ndims
        )

    def _forward_dtype(self, dtype):
        return tf.nest.map_structure(lambda _: dtype, self.inverse_min_event_ndims)

    def _inverse_dtype(self, dtype):
        known = [each for each in tf.nest.flatten(dtype) if each is not None]
        return known[0] if known else None

    def _forward_event_shape(self, shape):
        return self._shapes

    def _inverse_event_shape(self, shape):
        return tf.TensorShape([self.num_dimensions])

    def _forward_event_shape_tensor(self, shape):
        return tf.nest.map_structure(lambda s: tf.constant(s.as_list(), tf.int32), self._shapes)

    def _inverse_event_shape_tensor(self, shape):
        return tf.constant([self.num_dimensions], tf.int32)
