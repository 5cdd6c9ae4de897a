"""Named, shaped, constrained parameters <-> one flat unconstrained vector.

    x [N, D]  --split-->  {name: [N, *shape]}      log_det(x) = log |d values / d x|,  [N]
              <--join--

A target carries its layout; a posterior, its files and its export use the same one. Where nothing
is named there is one parameter "x", and users see plain arrays [N, D'] in place of a dict.
`PartsLayout` has one bijector for each parameter, `JointLayout` one for all of them together.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from gmmvi_ext.math.casting import numbers_to_tensor

if TYPE_CHECKING:
    from tensorflow_probability import bijectors as tfb

__all__ = ["Layout", "LayoutError", "element_names", "same_points"]


class LayoutError(ValueError):
    """Constraints that do not exist or do not fit.

    Attributes:
      problems: name of the parameter ("" for an unnamed vector) -> what is wrong there.
    """

    def __init__(self, problems: Mapping[str, str]):
        self.problems = dict(problems)
        where = {name: f" of parameter {name!r}" if name else "" for name in self.problems}
        super().__init__(
            " ".join(f"`constraints`{where[n]}: {text}" for n, text in self.problems.items())
        )


def element_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """`theta[0], theta[1], ...` for the elements of a parameter, `tau` for a scalar."""
    if not shape:
        return [name]
    return [f"{name}[{','.join(map(str, index))}]" for index in np.ndindex(*shape)]


class Layout:
    """Interface and what all layouts share; see the module docstring.

    Attributes:
      num_dimensions: D, unconstrained.
      num_constrained: D', numbers in one flat constrained point.
      shapes: constrained shape of every named parameter, in order; None if nothing is named.
    """

    num_dimensions: int
    num_constrained: int
    shapes: dict[str, tuple[int, ...]] | None

    def split(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Constrained values, name -> [N, *shape], of unconstrained points [N, D]."""
        raise NotImplementedError

    def join(self, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Unconstrained points [N, D] of constrained values; the inverse of `split`."""
        raise NotImplementedError

    def log_det(self, x: tf.Tensor) -> tf.Tensor:
        """log |det| of the Jacobian of `split` at x [N, D], [N]."""
        raise NotImplementedError

    def split_with_log_det(self, x: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Both at once, in fewer operations."""
        return self.split(x), self.log_det(x)

    def held(self, x: tf.Tensor) -> tf.Tensor:
        """Points [N, D], those beyond what the float format resolves moved to where it still does.

        Targets continue densities from there (`gmmvi_ext.constraints.edges`).
        """
        return x

    @property
    def columns(self) -> dict[str, slice]:
        """Where in the D coordinates the parameters are that can be told apart."""
        name = "x" if self.shapes is None else ", ".join(self.shapes)
        return {name: slice(0, self.num_dimensions)}

    @property
    def has_held(self) -> bool:
        """Whether `held` may move a point."""
        return False

    def contains(self, values: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
        """Whether constrained values lie in their supports, name -> [N]; "" for all together.

        Bijectors that do not know their support are asked whether they get there and back.
        """
        back = self.split(tf.identity(self.join(values)))  # a copy is in no bijector's cache
        same = [same_points(np.asarray(value), back[name]) for name, value in values.items()]
        return {"": np.all(same, axis=0)}

    def select(self, names: Sequence[str]) -> tuple[list[int], "Layout"]:
        """Unconstrained coordinates of some parameters, and the layout of those alone.

        Args:
          names: of parameters, or of their elements (`theta[0]`).

        Raises:
          ValueError: an unknown name, or numbers that depend on each other.
        """
        raise NotImplementedError

    def others(self, names: Sequence[str]) -> list[str]:
        """Names of what `names` leave, by element where only some of a parameter are named."""
        raise NotImplementedError

    def as_bijector(self) -> "tfb.Bijector":
        """One TFP bijector from [D] to the values (a tensor or a dict)."""
        raise NotImplementedError

    def spec(self) -> dict:
        """Plain data for `layout_from_spec`; says what could not be written down, and why."""
        raise NotImplementedError

    @property
    def constraints(self) -> dict[str, str]:
        """Constraint of every constrained parameter in words; empty where that cannot be told."""
        return {}

    @property
    def is_identity(self) -> bool:
        """Whether constrained and unconstrained coordinates are the same numbers."""
        return False

    @property
    def is_elementwise(self) -> bool:
        """Whether every constrained number is a monotone function of one coordinate."""
        return self.is_identity

    @property
    def element_coordinates(self) -> list[int | None]:
        """For each of the D' constrained numbers the one coordinate of which it is a monotone
        function, or None where it mixes several."""
        if self.is_elementwise:
            return list(range(self.num_constrained))
        return [None] * self.num_constrained

    @property
    def constrained_names(self) -> list[str]:
        """A name for each of the D' constrained numbers."""
        shapes = {"x": (self.num_constrained,)} if self.shapes is None else self.shapes
        return [n for name, shape in shapes.items() for n in element_names(name, shape)]

    @property
    def coordinate_names(self) -> list[str]:
        """A name for each of the D unconstrained coordinates: that of the number it stands for."""
        if self.num_constrained == self.num_dimensions:
            return self.constrained_names
        return element_names("x", (self.num_dimensions,))

    def argument(self, values: Mapping):
        """What a user's function takes: the dict, or the one array where nothing is named."""
        return values["x"] if self.shapes is None else values

    def forward_flat(self, x: tf.Tensor) -> tf.Tensor:
        """Constrained points [N, D'] of unconstrained ones [N, D]."""
        if self.is_identity:
            return x
        values = self.split(x)
        if self.shapes is None:
            return values["x"]
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        pieces = [tf.reshape(values[n], [-1, k]) for n, k in zip(self.shapes, sizes, strict=True)]
        return tf.concat(pieces, axis=-1)

    def inverse_flat(self, y: tf.Tensor) -> tf.Tensor:
        """Unconstrained points [N, D] of constrained ones [N, D']."""
        if self.is_identity:
            return y
        values = self.unpack(tf.identity(y))
        return self.join({"x": values} if self.shapes is None else values)

    def unpack(self, y):
        """Flat constrained points [N, D'] as users see them: a dict, or unchanged."""
        if self.shapes is None:
            return y
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        if isinstance(y, np.ndarray):
            pieces, reshape = np.split(y, np.cumsum(sizes)[:-1], -1), np.reshape
        else:
            pieces, reshape = tf.split(y, sizes, axis=-1), tf.reshape
        return {
            name: reshape(piece, [-1, *shape])
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def pack(self, values, dtype=None) -> tf.Tensor:
        """What users give as flat constrained points [N, D']; one point gets a leading axis.

        Raises:
          ValueError: the names or shapes are not those of the layout.
        """
        if isinstance(values, Mapping):
            return self._pack_parts(values, dtype)
        flat = numbers_to_tensor(values, dtype, "points")
        flat = flat[tf.newaxis] if flat.shape.rank == 1 else flat
        if flat.shape.rank != 2 or flat.shape[-1] != self.num_constrained:
            raise ValueError(
                f"expected points of shape [N, {self.num_constrained}]"
                + (f" or a dict with {list(self.shapes)}" if self.shapes else "")
                + f", got shape {tuple(flat.shape)}."
            )
        return flat

    def _pack_parts(self, values: Mapping, dtype) -> tf.Tensor:
        if self.shapes is None:
            raise ValueError("these parameters have no names: pass an array [N, D].")
        values = self._with_wholes(values, dtype)
        if set(values) != set(self.shapes):
            raise ValueError(f"expected the names {list(self.shapes)}, got {list(values)}.")
        pieces, counts = [], {}
        for name, shape in self.shapes.items():
            part = numbers_to_tensor(values[name], dtype, repr(name))
            found, rank = tuple(part.shape), len(shape)
            if len(found) not in (rank, rank + 1) or found[len(found) - rank :] != shape:
                wanted = ", ".join(["N", *map(str, shape)])
                raise ValueError(f"{name!r}: expected shape [{wanted}], got {found}.")
            pieces.append(tf.reshape(part, [-1, int(np.prod(shape))]))
            counts[name] = pieces[-1].shape[0]
        if len(set(counts.values())) > 1:
            raise ValueError(f"the parameters have different numbers of points: {counts}.")
        return tf.concat(pieces, axis=-1)

    def _with_wholes(self, values: Mapping, dtype) -> Mapping:
        """`values` with parameters in place of all their elements (`theta[0]`, `theta[1]` ...)."""
        whole = dict(values)
        for name, shape in (self.shapes or {}).items():
            elements = element_names(name, shape)
            if shape and name not in whole and all(each in whole for each in elements):
                given = [numbers_to_tensor(whole.pop(each), dtype, repr(each)) for each in elements]
                columns = tf.stack([tf.reshape(each, [-1]) for each in given], axis=1)
                whole[name] = tf.reshape(columns, [-1, *shape])
        return whole

    def outside(self, y: tf.Tensor) -> np.ndarray:
        """Which flat constrained points [N, D'] do not lie in the support, [N]."""
        values = self.unpack(y)
        found = self.contains({"x": values} if self.shapes is None else values)
        return ~np.all(list(found.values()), axis=0)


def same_points(value: np.ndarray, back) -> np.ndarray:
    """Whether points [N, ...] came back from where a bijector took them, [N]."""
    tolerance = np.sqrt(np.finfo(value.dtype).eps)
    is_close = np.isclose(value, np.asarray(back), rtol=tolerance, atol=tolerance)
    return np.all(is_close.reshape(len(value), -1), axis=1)
