"""Where the user wants the first search to begin, by name, as an unconstrained point."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.targets.base import TargetError

__all__ = ["initial_point", "plain_values"]


def initial_point(layout: Layout, values: Mapping, dtype) -> np.ndarray | None:
    """An unconstrained point [D], NaN where nothing is said; None where nothing is said at all.

    Args:
      layout: of the target.
      values: parameter, or element of one, to constrained value; "x" to [D] without names.
      dtype: of the target.

    Raises:
      TargetError: an unknown name, another shape, or a value outside the support.
    """
    if not values:
        return None
    try:
        dims, part = _chosen(layout, list(values))
        if part.shapes is None and set(values) == {"x"}:
            flat = part.pack(tf.constant(values["x"], dtype))
        else:
            flat = part.pack({name: tf.constant(v, dtype) for name, v in values.items()}, dtype)
        if flat.shape[0] != 1:
            raise ValueError(f"give one value of each parameter, got {flat.shape[0]}.")
        unpacked = part.unpack(flat)
        inside = part.contains(unpacked if isinstance(unpacked, Mapping) else {"x": unpacked})
        x = part.inverse_flat(flat)[0].numpy()
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise TargetError(f"`initial_values`: {error}") from error
    outside = [name for name, each in inside.items() if not each.all()]
    if outside or not np.isfinite(x).all():
        named = ", ".join(filter(None, outside)) or ", ".join(values)
        raise TargetError(
            f"`initial_values`: the value of {named} lies outside the support or on its edge; "
            "give a point inside."
        )
    point = np.full(layout.num_dimensions, np.nan)
    point[dims] = x
    return point


def _chosen(layout: Layout, names: list[str]) -> tuple[list[int], Layout]:
    """Unconstrained coordinates of some parameters, and the layout of those alone."""
    known = layout.shapes
    if known is None or set(names) == set(known):
        return list(range(layout.num_dimensions)), layout
    try:
        return layout.select(names)
    except ValueError as error:
        if set(names) < set(known):
            others = ", ".join(name for name in known if name not in names)
            message = f"the parameters depend on each other: give {others}, too ({error})"
            raise ValueError(message) from error
        raise


def plain_values(values: Mapping) -> dict:
    """Arrays and tensors as nested lists of numbers, as a configuration holds them.

    Raises:
      ValueError: a value is no number.
    """
    plain = {}
    for name, value in values.items():
        if value is None:
            raise ValueError(f"`initial_values`: {name!r} is None; leave it out.")
        plain[str(name)] = as_numbers(value, f"`initial_values`: {name!r}").tolist()
    return plain
