"""Which space belongs to the `bijector` and `parameter_names` that a user gave."""

from collections.abc import Mapping

import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints import FlatToStructure
from gmmvi_ext.posterior.flat_space import FlatSpace
from gmmvi_ext.posterior.parts_space import PartsSpace
from gmmvi_ext.posterior.space import Space
from gmmvi_ext.posterior.structured import StructuredSpace

__all__ = ["make_space", "naming_of"]

tfb = tfp.bijectors


def make_space(num_dimensions: int, bijector, names, dtype) -> Space:
    """The space for what a user may give as `bijector` and `parameter_names`.

    Args:
      num_dimensions: D.
      bijector: None, a constraint name, a `tfb.Bijector`, or a dict part -> any of these or a
        constraint's dict of arguments.
      names: None, a sequence of names, or a dict name -> constrained shape.
      dtype: of all tensors.
    """
    if isinstance(bijector, FlatToStructure):
        parts = _independent_parts(bijector)
        if parts is not None:
            # TensorFlow flattens a dict in the order of its sorted keys.
            return PartsSpace(parts, {n: bijector.event_shape[n] for n in sorted(parts)}, dtype)
    if isinstance(bijector, Mapping):
        if names is None:
            raise ValueError(
                "a dict of bijectors needs `parameter_names` as a dict name -> shape, e.g. "
                "{'mu': (), 'theta': (8,)}."
            )
        shapes = names if isinstance(names, Mapping) else {name: () for name in names}
        return PartsSpace(bijector, shapes, dtype)
    if isinstance(bijector, tfb.Bijector):
        probe = bijector.forward(tf.zeros([2, num_dimensions], dtype))
        if not tf.is_tensor(probe):
            return StructuredSpace(bijector, num_dimensions, names, dtype)
    return FlatSpace(num_dimensions, bijector, names, dtype)


def naming_of(target) -> tuple:
    """`parameter_names` and `bijector` of a `Posterior` over the parameters of `target`."""
    bijector = getattr(target, "bijector", None)
    shapes = getattr(target, "shapes", None)
    if shapes is None:
        return target.parameter_names, bijector
    if isinstance(bijector, Mapping):
        return shapes, bijector
    return list(shapes), bijector


def _independent_parts(bijector: FlatToStructure) -> Mapping | None:
    """Bijector of every part where the parts do not depend on each other, else None."""
    inner = bijector.parameters["bijector"]
    # TFP makes two classes of `JointMap`, with and without composite tensors.
    if type(inner).__name__.lstrip("_") != "JointMap" or not isinstance(inner.bijectors, Mapping):
        return None
    return inner.bijectors
