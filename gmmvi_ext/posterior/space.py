"""From unconstrained vectors to named, constrained parameters and back.

A space knows the layout of the D unconstrained coordinates, the bijector(s), and the names. Values
are a plain tensor `[N, D']` when nothing is named, else a dict `name -> [N, *shape]`.

`FlatSpace` has one bijector on the whole vector, `PartsSpace` one per named part, and
`StructuredSpace` one whose result is itself a structure of parts.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["Space", "element_names"]

tfb = tfp.bijectors


def element_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """`theta[0], theta[1], ...` for the elements of a part, `tau` for a scalar."""
    if not shape:
        return [name]
    return [f"{name}[{','.join(map(str, index))}]" for index in np.ndindex(*shape)]


class Space:
    """Interface and shared parts; see the module docstring.

    Attributes:
      num_dimensions: D, unconstrained.
      shapes: constrained shape of every named part, in order; None if nothing is named.
      dtype: of all tensors.
    """

    num_dimensions: int
    shapes: dict[str, tuple[int, ...]] | None
    dtype: tf.DType

    def forward_flat(self, x: tf.Tensor) -> tf.Tensor:
        """Constrained points [N, D'] of unconstrained ones [N, D]."""
        raise NotImplementedError

    def inverse_flat(self, y: tf.Tensor) -> tf.Tensor:
        """Unconstrained points [N, D] of constrained ones [N, D']."""
        raise NotImplementedError

    def log_det(self, x: tf.Tensor) -> tf.Tensor:
        """log |det| of the Jacobian of `forward_flat` at x [N, D], [N]."""
        raise NotImplementedError

    def spec(self) -> dict:
        """Plain data from which the space can be rebuilt."""
        raise NotImplementedError

    def select(self, names: list[str]) -> tuple[list[int], "Space"]:
        """Unconstrained coordinates of some parts, and the space of those parts alone."""
        raise NotImplementedError

    def as_bijector(self) -> tfb.Bijector:
        """One TFP bijector from [D] to the values (a tensor or a dict)."""
        raise NotImplementedError

    @property
    def is_identity(self) -> bool:
        """Whether constrained and unconstrained coordinates are the same numbers."""
        return False

    @property
    def is_elementwise(self) -> bool:
        """Whether every constrained number is a monotone function of one coordinate."""
        return self.is_identity

    @property
    def num_constrained(self) -> int:
        """D', numbers in one flat constrained point."""
        return int(self.forward_flat(tf.zeros([1, self.num_dimensions], self.dtype)).shape[-1])

    @property
    def constrained_names(self) -> list[str]:
        """A name for each of the D' constrained numbers."""
        if self.shapes is None:
            return [f"x[{i}]" for i in range(self.num_constrained)]
        return [n for name, shape in self.shapes.items() for n in element_names(name, shape)]

    @property
    def constraints(self) -> dict[str, str]:
        """Constraint of every constrained part in words; empty where that cannot be told."""
        return {}

    def unpack(self, y):
        """Flat constrained points [N, D'] as values (dict of parts, or unchanged)."""
        if self.shapes is None:
            return y
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        pieces = np.split(y, np.cumsum(sizes)[:-1], -1) if isinstance(y, np.ndarray) else None
        pieces = tf.split(y, sizes, axis=-1) if pieces is None else pieces
        reshape = np.reshape if isinstance(y, np.ndarray) else tf.reshape
        return {
            name: reshape(piece, [-1, *shape])
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def pack(self, values) -> tf.Tensor:
        """Values as flat constrained points [N, D']; single points get a leading axis."""
        if isinstance(values, Mapping):
            return self._pack_parts(values)
        flat = tf.convert_to_tensor(values, self.dtype)
        flat = flat[tf.newaxis] if flat.shape.rank == 1 else flat
        if flat.shape.rank != 2 or flat.shape[-1] != self.num_constrained:
            raise ValueError(
                f"expected points of shape [N, {self.num_constrained}]"
                + (f" or a dict with {list(self.shapes)}" if self.shapes else "")
                + f", got shape {tuple(flat.shape)}."
            )
        return flat

    def _pack_parts(self, values: Mapping) -> tf.Tensor:
        if self.shapes is None:
            raise ValueError("this posterior has no parameter names: pass an array [N, D].")
        if set(values) != set(self.shapes):
            raise ValueError(f"expected the names {list(self.shapes)}, got {list(values)}.")
        pieces = []
        for name, shape in self.shapes.items():
            part = tf.convert_to_tensor(values[name], self.dtype)
            if tuple(
                part.shape[-len(shape) :] if shape else ()
            ) != shape or part.shape.rank not in (
                len(shape),
                len(shape) + 1,
            ):
                raise ValueError(
                    f"{name!r}: expected shape [N, {', '.join(map(str, shape))}], "
                    f"got {tuple(part.shape)}."
                )
            pieces.append(tf.reshape(part, [-1, int(np.prod(shape))]))
        return tf.concat(pieces, axis=-1)

    def check_names(self, names) -> list[str]:
        """`names` as a list, refused if one is unknown."""
        names = [names] if isinstance(names, str) else list(names)
        known = list(self.shapes or [])
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(f"unknown parameter names {unknown}; this posterior has {known}.")
        return names
