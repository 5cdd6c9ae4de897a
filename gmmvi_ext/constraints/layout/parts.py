"""A layout with one bijector for each parameter."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import specs
from gmmvi_ext.constraints.layout.base import Layout, LayoutError, element_names, same_points
from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.ranges import require_name

__all__ = ["Part", "PartsLayout"]

# A fit without constraints needs none of these.
if TYPE_CHECKING:
    from tensorflow_probability import bijectors as tfb
else:
    tfb = lazy_module("tensorflow_probability.python.bijectors")
base = lazy_module("gmmvi_ext.constraints.base")
names = lazy_module("gmmvi_ext.constraints.names")


class Part(NamedTuple):
    """One parameter of a `PartsLayout`.

    Attributes:
      shape: constrained shape.
      free_shape: shape before the bijector.
      start, stop: its slice of the unconstrained vector.
      bijector: None for the identity.
    """

    shape: tuple[int, ...]
    free_shape: tuple[int, ...]
    start: int
    stop: int
    bijector: "tfb.Bijector | None"


class PartsLayout(Layout):
    """Parameters that do not depend on each other, in the order of `shapes`.

    Args:
      shapes: name -> constrained shape, e.g. `{"mu": (), "theta": (8,)}`; or None with
        `num_dimensions` for one unnamed vector.
      constraints: name -> constraint as `constraints.by_name` takes it, others are free; for an
        unnamed vector one constraint of the whole of it.
      num_dimensions: length of the unnamed (constrained) vector.

    Attributes:
      parts: name -> `Part`; "x" for an unnamed vector.

    Raises:
      LayoutError: constraints that do not exist or do not fit, all of them.
      ValueError: anything else that cannot be.
    """

    def __init__(
        self,
        shapes: Mapping | None = None,
        constraints=None,
        num_dimensions: int | None = None,
    ):
        if (shapes is None) == (num_dimensions is None):
            given = "both were" if shapes is not None else "neither was"
            raise ValueError(
                "give either `num_dimensions` (the function takes an array [N, D]) or `shapes` "
                "(it takes a dict of named arrays, e.g. shapes={'mu': (), 'theta': (8,)}); "
                f"{given} given."
            )
        if shapes is None:
            if isinstance(constraints, Mapping) and "name" not in constraints:
                raise ValueError(
                    "`constraints` by name needs named parts: give `shapes`, e.g. "
                    "shapes={" + ", ".join(f"{name!r}: ()" for name in constraints) + "}."
                )
            self.shapes = None
            size = _positive_int("num_dimensions", num_dimensions)
            self.parts = _parts({"x": (size,)}, {"x": constraints}, is_named=False)
        else:
            self.shapes = _named_shapes(shapes)
            constraints = _named_constraints(constraints, self.shapes)
            self.parts = _parts(self.shapes, constraints, is_named=True)
        self.num_dimensions = list(self.parts.values())[-1].stop
        self.num_constrained = sum(int(np.prod(part.shape)) for part in self.parts.values())
        self._sizes = [part.stop - part.start for part in self.parts.values()]
        self._is_identity = all(part.bijector is None for part in self.parts.values())

    def split(self, x):
        return {
            name: inner if part.bijector is None else part.bijector.forward(inner)
            for (name, part), inner in zip(self.parts.items(), self._inner(x), strict=True)
        }

    def join(self, values):
        pieces = []
        for name, part in self.parts.items():
            outer = tf.convert_to_tensor(values[name])
            # The copy keeps the bijector's cache from handing back what it was built from.
            inner = outer if part.bijector is None else part.bijector.inverse(tf.identity(outer))
            pieces.append(tf.reshape(inner, [-1, part.stop - part.start]))
        return tf.concat(pieces, axis=-1)

    def log_det(self, x):
        total = tf.zeros_like(x[:, 0])
        return total if self.is_identity else self._log_det(self._inner(x), total)

    def split_with_log_det(self, x):
        if self.shapes is None and self.is_identity:
            return {"x": x}, tf.zeros_like(x[:, 0])
        values, inners = {}, self._inner(x)
        for (name, part), inner in zip(self.parts.items(), inners, strict=True):
            values[name] = inner if part.bijector is None else part.bijector.forward(inner)
        return values, self._log_det(inners, tf.zeros_like(x[:, 0]))

    def held(self, x):
        if not self.has_held:
            return x
        pieces = []
        for part, inner in zip(self.parts.values(), self._inner(x), strict=True):
            held = part.bijector.held(inner) if _has_held(part) else inner
            pieces.append(tf.reshape(held, [-1, part.stop - part.start]))
        return tf.concat(pieces, axis=-1)

    @property
    def columns(self):
        return {name: slice(part.start, part.stop) for name, part in self.parts.items()}

    @property
    def has_held(self):
        return any(_has_held(part) for part in self.parts.values())

    def contains(self, values):
        found = {}
        for name, part in self.parts.items():
            array = np.asarray(values[name])
            if part.bijector is None:
                inside = np.isfinite(array)
            elif isinstance(part.bijector, base.ConstraintBijector):
                inside = part.bijector.contains(array)
            else:
                inner = tf.identity(part.bijector.inverse(tf.identity(values[name])))
                inside = same_points(array, part.bijector.forward(inner))
            found[name] = np.all(np.reshape(inside, (len(array), -1)), axis=1)
        return found

    def select(self, names):
        chosen = {}
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"names of parameters must be a list of texts, got {names!r}.")
        for name in names:
            whole, index = self._owner(name)
            chosen[name] = self.parts[name] if index is None else self._element(whole, index)
        if not chosen:
            raise ValueError(f"no parameter is named; there are {list(self.shapes or [])}.")
        dims = [i for part in chosen.values() for i in range(part.start, part.stop)]
        if len(set(dims)) < len(dims):
            raise ValueError(f"a parameter is named twice in {list(chosen)}.")
        shapes = {name: part.shape for name, part in chosen.items()}
        return dims, PartsLayout(shapes, {name: part.bijector for name, part in chosen.items()})

    def others(self, names):
        given = [self._owner(name) for name in names]
        rest = []
        for name, shape in (self.shapes or {}).items():
            taken = [index for whole, index in given if whole == name]
            if not taken:
                rest.append(name)
            elif None not in taken:
                elements = enumerate(element_names(name, shape))
                rest += [element for i, element in elements if i not in taken]
        return rest

    def _owner(self, name: str) -> tuple[str, int | None]:
        """The parameter that `name` is or belongs to, and which of its elements it is."""
        known = self.shapes or {}
        if name in known:
            return name, None
        whole = name.partition("[")[0]
        if whole in known and name in (elements := element_names(whole, known[whole])):
            return whole, elements.index(name)
        raise ValueError(f"unknown parameter name {name!r}; this posterior has {list(known)}.")

    def _element(self, name: str, index: int) -> Part:
        """One number of a parameter whose numbers do not depend on each other."""
        part, bijector = self.parts[name], self.parts[name].bijector
        if bijector is not None and bijector.forward_min_event_ndims > 0:
            raise ValueError(
                f"the elements of {name!r} depend on each other ({specs.words(bijector)}): take it "
                "as a whole."
            )
        if isinstance(bijector, base.ConstraintBijector):
            bounds = {k: v for k, v in bijector.spec.items() if not isinstance(v, str)}
            own = {k: np.broadcast_to(v, part.shape).flat[index] for k, v in bounds.items()}
            bijector = names.by_name(bijector.spec | own)
        elif bijector is not None and bijector.forward(tf.zeros([], bijector.dtype)).shape.rank:
            raise ValueError(f"the elements of {name!r} have different bijectors: take it whole.")
        return Part((), (), part.start + index, part.start + index + 1, bijector)

    def as_bijector(self):
        outer = {name: part.bijector or tfb.Identity() for name, part in self.parts.items()}
        if self.shapes is None:
            return outer["x"]
        inner = {
            name: tfb.Reshape(part.free_shape, event_shape_in=[size])
            for (name, part), size in zip(self.parts.items(), self._sizes, strict=True)
        }
        restructure = tfb.Restructure({name: i for i, name in enumerate(self.parts)})
        return tfb.Chain(
            [tfb.JointMap(outer), tfb.JointMap(inner), restructure, tfb.Split(self._sizes, axis=-1)]
        )

    def spec(self):
        written, missing = {}, {}
        for name, part in self.parts.items():
            try:
                written[name] = specs.to_spec(part.bijector)
            except specs.UnserializableBijectorError as error:
                missing[name] = str(error)
        about = {"num_dimensions": self.num_dimensions, "missing": missing}
        if self.shapes is None:
            return about | {"kind": "flat", "bijector": written.get("x"), "shapes": None}
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        return about | {"kind": "parts", "bijectors": written, "shapes": shapes}

    @property
    def is_identity(self):
        return self._is_identity

    @property
    def is_elementwise(self):
        return all(map(_is_elementwise, self.parts.values()))

    @property
    def element_coordinates(self):
        found: list[int | None] = []
        for part in self.parts.values():
            size = math.prod(part.shape)
            own = range(part.start, part.stop) if _is_elementwise(part) else [None] * size
            found += own
        return found

    @property
    def constraints(self):
        if self.shapes is None:
            return {}
        bound = {n: part.bijector for n, part in self.parts.items() if part.bijector is not None}
        return {name: specs.words(bijector) for name, bijector in bound.items()}

    def _inner(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Unconstrained parts [N, *free_shape]."""
        count = x.shape[0] or tf.shape(x)[0]
        pieces = tf.split(x, self._sizes, axis=-1) if len(self._sizes) > 1 else [x]
        return [
            piece if len(part.free_shape) == 1 else tf.reshape(piece, [count, *part.free_shape])
            for part, piece in zip(self.parts.values(), pieces, strict=True)
        ]

    def _log_det(self, inners: list[tf.Tensor], total: tf.Tensor) -> tf.Tensor:
        for part, inner in zip(self.parts.values(), inners, strict=True):
            if part.bijector is not None:
                fresh, ndims = tf.identity(inner), len(part.free_shape)
                total += part.bijector.forward_log_det_jacobian(fresh, event_ndims=ndims)
        return total


def _is_elementwise(part: Part) -> bool:
    return part.bijector is None or part.bijector.forward_min_event_ndims == 0


def _has_held(part: Part) -> bool:
    if part.bijector is None:
        return False
    return isinstance(part.bijector, base.ConstraintBijector) and part.bijector.has_held


def _parts(shapes: Mapping, constraints: Mapping, *, is_named: bool) -> dict[str, Part]:
    """The parameters one after the other; each constraint is read once, all faults are told."""
    unknown = [name for name in constraints if name not in shapes]
    known = ", ".join(map(repr, shapes))
    problems = dict.fromkeys(unknown, f"no such parameter; the parameters are {known}.")
    parts, start = {}, 0
    for name, shape in shapes.items():
        try:
            bijector, free = _fitted(constraints.get(name), shape)
        except ValueError as error:
            problems[name] = str(error)
            continue
        stop = start + int(np.prod(free))
        parts[name] = Part(shape, free, start, stop, bijector)
        start = stop
    if problems:
        in_order = {name: problems[name] for name in constraints if name in problems}
        raise LayoutError(in_order if is_named else {"": problems["x"]})
    return parts


def _fitted(constraint, shape: tuple) -> "tuple[tfb.Bijector | None, tuple[int, ...]]":
    """The bijector of a constraint (None for the identity) and the shape before it."""
    bijector = None if constraint is None else names.by_name(constraint)
    if bijector is None or isinstance(bijector, tfb.Identity):
        return None, shape
    rank = bijector.inverse_min_event_ndims
    if tf.nest.is_nested(rank):
        raise ValueError(f"{bijector.name!r} gives a structure, expected one for a single array.")
    if rank > len(shape):
        support = f" ({bijector.support})" if isinstance(bijector, base.ConstraintBijector) else ""
        raise ValueError(
            f"constraint {bijector.name!r} needs at least {rank} dimensions{support}, got shape "
            f"{shape}."
        )
    free = bijector.inverse_event_shape(tf.TensorShape(shape))
    if not free.is_fully_defined():
        raise ValueError(f"the shape before {bijector.name!r} is not static: {free}.")
    if 0 in free.as_list():
        raise ValueError(
            f"a parameter of shape {shape} has no free number under its constraint: leave it out, "
            "or give it a larger shape."
        )
    return bijector, tuple(free.as_list())


def _named_shapes(shapes) -> dict[str, tuple[int, ...]]:
    if not isinstance(shapes, Mapping):
        raise ValueError(
            f"`shapes` must be a dict name -> shape, e.g. {{'mu': (), 'theta': (8,)}}, got "
            f"{shapes!r}."
        )
    if not shapes:
        raise ValueError("`shapes` is empty: name at least one parameter.")
    return {
        require_name(name, "a parameter"): _shape(name, value) for name, value in shapes.items()
    }


def _named_constraints(constraints, shapes: Mapping) -> dict:
    if constraints is None:
        return {}
    if not isinstance(constraints, Mapping):
        raise ValueError(
            f"`constraints` must be a dict name -> constraint, got {constraints!r}; write for "
            f"example constraints={{{next(iter(shapes))!r}: 'positive'}}."
        )
    return dict(constraints)


def _shape(name, value) -> tuple[int, ...]:
    value = (value,) if isinstance(value, (int, np.integer)) else value
    try:
        if isinstance(value, (str, Mapping)):  # empty ones are not the shape of a number
            raise TypeError
        shape = tuple(int(size) for size in value)
    except (TypeError, ValueError):
        shape = (-1,)
    if any(size < 1 for size in shape):
        raise ValueError(
            f"the shape of parameter {name!r} must be a tuple of positive integers, () for a "
            f"number and (8,) for a vector of eight, got {value!r}."
        )
    return shape


def _positive_int(name: str, value) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer, got {value!r}.")
    return int(value)
