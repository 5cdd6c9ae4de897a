"""Which layout belongs to what users, files and distributions give."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.coordinate_map import map_from_spec
from gmmvi_ext.constraints.layout import specs
from gmmvi_ext.constraints.layout.base import Layout
from gmmvi_ext.constraints.layout.joint import JointLayout
from gmmvi_ext.constraints.layout.mapped import MappedLayout
from gmmvi_ext.constraints.layout.parts import PartsLayout
from gmmvi_ext.lazy import lazy_module

__all__ = ["is_separable", "layout_from_spec", "make_layout", "require_agreement", "structured"]

# A fit without constraints needs none of these.
if TYPE_CHECKING:
    from tensorflow_probability import bijectors as tfb
else:
    tfb = lazy_module("tensorflow_probability.python.bijectors")
constraint_names = lazy_module("gmmvi_ext.constraints.names")
if TYPE_CHECKING:
    from gmmvi_ext.constraints import flat_to_structure
else:
    flat_to_structure = lazy_module("gmmvi_ext.constraints.flat_to_structure")

NUM_PROBES = 3  # points at which two layouts are compared


def make_layout(num_dimensions: int, bijector=None, names=None, dtype=tf.float32) -> Layout:
    """The layout for what `Posterior` takes as `bijector` and `parameter_names`.

    Args:
      num_dimensions: D.
      bijector: None, a constraint, a `tfb.Bijector`, or a dict name -> any of these.
      names: None, a sequence of names, or a dict name -> constrained shape.
      dtype: of the numbers in plain-data specs of TFP bijectors.
    """
    if isinstance(bijector, flat_to_structure.FlatToStructure):
        inner = bijector.parameters["bijector"]
        if is_separable(inner) and isinstance(inner.bijectors, Mapping):
            # TensorFlow flattens a dict in the order of its sorted keys.
            shapes = {name: bijector.event_shape[name] for name in sorted(inner.bijectors)}
            return PartsLayout(shapes, inner.bijectors)
    if isinstance(bijector, Mapping):
        if names is None:
            raise ValueError(
                "a dict of bijectors needs `parameter_names` as a dict name -> shape, e.g. "
                "{'mu': (), 'theta': (8,)}."
            )
        given = {name: _read(each, dtype) for name, each in bijector.items()}
        return PartsLayout(_as_shapes(names), given)
    bijector = constraint_names.by_name(bijector)
    if isinstance(bijector, tfb.Identity):
        if names is None:
            return PartsLayout(num_dimensions=num_dimensions)
        layout = PartsLayout(_as_shapes(names))
        if layout.num_constrained != num_dimensions:
            raise ValueError(
                f"`parameter_names` describe {layout.num_constrained} numbers, but a draw has "
                f"{num_dimensions}."
            )
        return layout
    is_structured = tf.nest.is_nested(bijector.inverse_min_event_ndims)
    if names is not None or is_structured:
        return JointLayout(bijector, num_dimensions, names, dtype)
    outer = bijector.forward_event_shape(tf.TensorShape([num_dimensions]))
    if outer.rank != 1:
        raise ValueError(
            f"{bijector.name!r} gives arrays of shape {outer}: name them, e.g. "
            f"parameter_names={{'x': {tuple(outer)}}} with bijector={{'x': ...}}."
        )
    return PartsLayout(None, bijector, int(outer[0]))


def is_separable(bijector: "tfb.Bijector") -> bool:
    """Whether a bijector of a structure is one for each part."""
    # TFP makes two classes of `JointMap`, with and without composite tensors.
    return type(bijector).__name__.lstrip("_") == "JointMap"


def structured(
    shapes: Mapping[str, tuple], constraints: Mapping | None = None
) -> "flat_to_structure.FlatToStructure":
    """Flat vector to dict of named parameters, in TensorFlow's order: that of the sorted names.

    Args:
      shapes: constrained shape by name.
      constraints: constraint by name, in any form that `by_name` takes; others are unconstrained.

    Raises:
      ValueError: if a constraint names an unknown parameter or does not fit its shape.

    Example:
        >>> from gmmvi_ext.constraints import structured
        >>> bijector = structured({"mu": (), "tau": (2,)}, {"tau": "positive(base='exp')"})
        >>> values = bijector.forward(tf.zeros([1, 3]))
        >>> print(values["mu"].numpy(), values["tau"].numpy())
        [0.] [[1. 1.]]
    """
    parts = PartsLayout(shapes, constraints).parts
    return flat_to_structure.FlatToStructure(
        tfb.JointMap({name: part.bijector or tfb.Identity() for name, part in parts.items()}),
        {name: tf.TensorShape(part.shape) for name, part in parts.items()},
    )


def layout_from_spec(spec: Mapping, num_dimensions: int, bijector=None, dtype=tf.float32) -> Layout:
    """The layout that `Layout.spec` wrote down; nothing in a spec is run.

    Args:
      spec: plain data.
      num_dimensions: D.
      bijector: what the spec lacks, or is to be replaced: a bijector of the whole vector, or a
        dict name -> bijector.
      dtype: of the numbers in bijectors.

    Raises:
      ValueError: something is missing and not given, or no layout is described.
    """
    if spec["kind"] == "mapped":
        inner = layout_from_spec(spec["inner"], num_dimensions, bijector, dtype)
        return MappedLayout(inner, map_from_spec(spec["coordinate_map"]))
    shapes, missing = spec["shapes"], dict(spec.get("missing") or {})
    if spec["kind"] == "parts" and (bijector is None or isinstance(bijector, Mapping)):
        given = dict(spec["bijectors"]) | dict(bijector or {})
        missing = {name: reason for name, reason in missing.items() if name not in given}
    elif bijector is not None or spec["kind"] == "flat":
        given = specs.from_spec(spec["bijector"], dtype) if bijector is None else bijector
        missing = missing if bijector is None else {}
    elif spec["kind"] == "unknown":
        missing = {"": spec["reason"]}
    else:
        raise ValueError(f"unknown kind of layout {spec['kind']!r}, know parts and flat.")
    if missing:
        raise specs.UnserializableBijectorError(
            "pass `bijector=` when loading, or `target=` with a target that names its parameters: "
            f"{' '.join(missing.values())}"
        )
    return make_layout(num_dimensions, given, shapes, dtype)


def require_agreement(found: Layout, wanted: Layout, dtypes=(tf.float32, tf.float32)) -> None:
    """Refuses a target's layout that is not a posterior's.

    Args:
      found: of the target.
      wanted: of the posterior.
      dtypes: of points of the one and of the other.

    Raises:
      ValueError: names, shapes, order or constraints differ; says where.
    """
    if found.num_dimensions != wanted.num_dimensions:
        raise ValueError(
            f"the target has {found.num_dimensions} dimensions, the posterior "
            f"{wanted.num_dimensions}."
        )
    if found is wanted or (found.shapes is None and found.is_identity):
        return  # a density on the unconstrained vector
    own, other = found.shapes or {}, wanted.shapes or {}
    if list(own.items()) != list(other.items()):
        raise ValueError(
            f"the target has the parameters {_told(own)}, the posterior {_told(other)}: names, "
            "shapes and order must agree."
        )
    probes = np.random.default_rng(0).standard_normal((NUM_PROBES, found.num_dimensions))
    mine, theirs = (
        layout.split(tf.constant(probes, dtype))
        for layout, dtype in zip((found, wanted), dtypes, strict=True)
    )
    for name, value in theirs.items():
        if not np.allclose(mine[name], value, rtol=1e-4, atol=1e-6):
            words = [each.constraints.get(name, "another bijector") for each in (found, wanted)]
            raise ValueError(
                f"the constraint of {name!r} differs: {words[0]} in the target, {words[1]} in the "
                "posterior; give the target the constraints of the fit."
            )


def _read(given, dtype):
    """A TFP bijector for its plain data; constraints are left to who names their parameter."""
    is_class = isinstance(given, Mapping) and "class" in given
    return specs.from_spec(given, dtype) if is_class else given


def _told(shapes: Mapping) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "without names"


def _as_shapes(names) -> dict:
    if not isinstance(names, Iterable) or isinstance(names, str):
        raise ValueError(
            f"`parameter_names` must be a list of names, or a dict name -> shape, got {names!r}."
        )
    return dict(names) if isinstance(names, Mapping) else {str(name): () for name in names}
