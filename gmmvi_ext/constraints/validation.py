"""Refusing values: which parameter, which entry, what is allowed, what to do."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.base import ConstraintBijector
from gmmvi_ext.math.casting import to_dtype

__all__ = ["InvalidValueError", "checked_value"]


class InvalidValueError(ValueError):
    """A value outside a parameter's allowed set; the parameter keeps its old value."""


def checked_value(
    value, bijector, *, name: str, shape: tf.TensorShape, dtype: tf.DType, cast: bool = False
) -> tf.Tensor:
    """`value` as a tensor, if the parameter may take it.

    Symbolic values (inside a traced function) are checked for shape and dtype only.

    Args:
      value: candidate in the constrained space.
      bijector: the parameter's bijector; those of this package know their support, for others the
        unconstrained image must be finite.
      name: of the parameter, for messages.
      shape: required static shape.
      dtype: required dtype.
      cast: whether a tensor or array of another dtype may be cast.

    Raises:
      InvalidValueError: naming the parameter, the position and the allowed set.
      ValueError: a shape that the bijector does not take.
    """
    has_dtype = hasattr(value, "dtype")
    if has_dtype and not cast and tf.as_dtype(value.dtype) != dtype:
        raise InvalidValueError(
            f"parameter {name!r} has dtype {dtype.name}, got a value of dtype "
            f"{tf.as_dtype(value.dtype).name}; convert it or pass `cast=True`."
        )
    tensor = to_dtype(value, dtype)
    if not shape.is_compatible_with(tensor.shape):
        raise InvalidValueError(
            f"parameter {name!r} has shape {tuple(shape)}, got a value of shape "
            f"{tuple(tensor.shape)}."
        )
    if not hasattr(tensor, "numpy"):
        return tensor
    array = tensor.numpy()
    if isinstance(bijector, ConstraintBijector):
        bijector.inverse_event_shape(tensor.shape)  # says what shapes it takes
        allowed, support = bijector.contains(array), bijector.support
    else:
        image = np.asarray(bijector.inverse(tf.identity(tensor)))
        fine = np.isfinite(image)
        same = fine.shape == array.shape
        allowed = np.isfinite(array) & (fine if same else fine.all())
        support = f"values with a finite image under the inverse of {bijector.name!r}"
    refuse_unless(allowed, array, name=name, support=support)
    return tensor


def refuse_unless(allowed: np.ndarray, array: np.ndarray, *, name: str, support: str) -> None:
    """Raises InvalidValueError for the first entry that is not `allowed`."""
    if np.all(allowed):
        return
    bad = np.argwhere(~np.broadcast_to(allowed, array.shape))
    position = tuple(int(each) for each in bad[0])
    more = f" (and {len(bad) - 1} more entries)" if len(bad) > 1 else ""
    where = f" at position {position}" if position else ""
    raise InvalidValueError(
        f"parameter {name!r} cannot take {array[position]}{where}{more}; allowed: {support}. "
        "The old value stays."
    )
