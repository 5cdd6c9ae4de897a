"""A space with one bijector per named part."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.posterior import bijector_spec
from gmmvi_ext.posterior.space import Space

__all__ = ["Part", "PartsSpace"]

tfb = tfp.bijectors


class Part(NamedTuple):
    """One named part of a `PartsSpace`.

    Attributes:
      name: of the parameter.
      shape: constrained shape.
      unconstrained_shape: shape before the bijector.
      start, stop: its slice of the unconstrained vector.
      bijector: or None for the identity.
      given: what the user passed as bijector, for saving.
    """

    name: str
    shape: tuple[int, ...]
    unconstrained_shape: tuple[int, ...]
    start: int
    stop: int
    bijector: tfb.Bijector | None
    given: object


class PartsSpace(Space):
    """One bijector per named part.

    Args:
      bijectors: name -> `tfb.Bijector`, constraint name, spec, or None; missing names are free.
      shapes: name -> constrained shape; the order is the order of the unconstrained vector.
      dtype: of all tensors.
    """

    def __init__(self, bijectors: Mapping, shapes: Mapping, dtype=tf.float32):
        self.dtype = tf.as_dtype(dtype)
        self.shapes = {str(k): tuple(int(s) for s in v) for k, v in shapes.items()}
        unknown = [name for name in bijectors if name not in self.shapes]
        if unknown:
            raise ValueError(
                f"`bijector` names {unknown}, which are not among the parameters "
                f"{list(self.shapes)}."
            )
        self.parts: list[Part] = []
        start = 0
        for name, shape in self.shapes.items():
            given = bijectors.get(name)
            bijector = bijector_spec.resolve(given, self.dtype)
            bijector = None if isinstance(bijector, tfb.Identity) else bijector
            inner = shape
            if bijector is not None:
                inner = tuple(bijector.inverse_event_shape(tf.TensorShape(shape)).as_list())
            stop = start + int(np.prod(inner))
            self.parts.append(Part(name, shape, inner, start, stop, bijector, given))
            start = stop
        self.num_dimensions = start

    def _inner(self, part: Part, x):
        return tf.reshape(x[:, part.start : part.stop], [-1, *part.unconstrained_shape])

    def forward_flat(self, x):
        pieces = []
        for part in self.parts:
            inner = self._inner(part, x)
            outer = inner if part.bijector is None else part.bijector.forward(inner)
            pieces.append(tf.reshape(outer, [-1, int(np.prod(part.shape))]))
        return tf.concat(pieces, axis=-1)

    def inverse_flat(self, y):
        values, pieces = self.unpack(tf.identity(y)), []
        for part in self.parts:
            outer = values[part.name]
            inner = outer if part.bijector is None else part.bijector.inverse(tf.identity(outer))
            pieces.append(tf.reshape(inner, [-1, part.stop - part.start]))
        return tf.concat(pieces, axis=-1)

    def log_det(self, x):
        total = tf.zeros(tf.shape(x)[:1], x.dtype)
        for part in self.parts:
            if part.bijector is not None:
                inner = tf.identity(self._inner(part, x))
                ndims = len(part.unconstrained_shape)
                total += part.bijector.forward_log_det_jacobian(inner, event_ndims=ndims)
        return total

    @property
    def num_constrained(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def is_identity(self) -> bool:
        return all(part.bijector is None for part in self.parts)

    @property
    def is_elementwise(self) -> bool:
        return all(
            part.bijector is None or part.bijector.forward_min_event_ndims == 0
            for part in self.parts
        )

    @property
    def constraints(self):
        constrained = (part for part in self.parts if part.bijector is not None)
        return {part.name: bijector_spec.words(part.bijector) for part in constrained}

    def select(self, names):
        names = self.check_names(names)
        by_name = {part.name: part for part in self.parts}
        dims = [i for n in names for i in range(by_name[n].start, by_name[n].stop)]
        space = PartsSpace(
            {n: by_name[n].given for n in names}, {n: self.shapes[n] for n in names}, self.dtype
        )
        return dims, space

    def as_bijector(self):
        sizes = [part.stop - part.start for part in self.parts]
        names = [part.name for part in self.parts]
        inner = {
            part.name: tfb.Reshape(part.unconstrained_shape, event_shape_in=[size])
            for part, size in zip(self.parts, sizes, strict=True)
        }
        outer = {part.name: part.bijector or tfb.Identity() for part in self.parts}
        restructure = tfb.Restructure({name: i for i, name in enumerate(names)})
        return tfb.Chain(
            [tfb.JointMap(outer), tfb.JointMap(inner), restructure, tfb.Split(sizes, axis=-1)]
        )

    def spec(self):
        return {
            "kind": "parts",
            "bijectors": {p.name: bijector_spec.to_spec(p.given) for p in self.parts},
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
        }
