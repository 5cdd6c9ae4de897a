"""Numbers in a wanted dtype, without a detour through float32.

`tf.cast(0.1, tf.float64)` is 0.10000000149: TensorFlow first makes a float32 tensor of the Python
number. Settings come as Python numbers, hence one function for all of them.
"""

import reprlib

import numpy as np
import tensorflow as tf

from gmmvi_ext.types import DTypeLike

__all__ = ["as_numbers", "floating_dtype", "numbers_to_tensor", "to_dtype"]


def as_numbers(value, what: str) -> np.ndarray:
    """`value` as a float64 array.

    Args:
      value: anything that a user gave.
      what: name of it, for the message.

    Raises:
      ValueError: it holds no real numbers, or rows of different lengths.
    """
    try:
        array = np.asarray(value)
        # NumPy makes NaN of None.
        is_missing = array.dtype.kind == "O" and any(each is None for each in array.flat)
        if array.dtype.kind not in "cSUMm" and not is_missing:
            return array.astype(np.float64)
    except (TypeError, ValueError):
        pass
    raise _no_numbers(value, what)


def numbers_to_tensor(value, dtype: tf.DType | None, what: str) -> tf.Tensor:
    """`value`, perhaps a tensor or a list of them, in `dtype` (None: its own); see `as_numbers`."""
    if isinstance(value, (tf.Tensor, tf.Variable)):
        if value.dtype.is_floating or value.dtype.is_integer:
            return tf.cast(value, value.dtype if dtype is None else dtype)
    elif not (isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "cSUMm"):
        try:
            return tf.convert_to_tensor(value, dtype)
        except (TypeError, ValueError):
            pass
    raise _no_numbers(value, what)


def _no_numbers(value, what: str) -> ValueError:
    return ValueError(
        f"{what} must be a number or an array of real numbers, got {reprlib.repr(value)}."
    )


def to_dtype(value, dtype: tf.DType, what: str = "the value") -> tf.Tensor:
    """`value` as a tensor of `dtype`.

    Args:
      value: number, (nested) sequence of numbers, array, tensor or variable.
      dtype: of the result. Python numbers and arrays are rounded once, to it.
      what: name of it, for the message.

    Raises:
      ValueError: it holds no numbers.
    """
    dtype = tf.as_dtype(dtype)
    try:
        if isinstance(value, (bool, int, float, np.ndarray, np.generic)) or _is_plain(value):
            return tf.constant(np.asarray(value).astype(dtype.as_numpy_dtype))
        return tf.cast(value, dtype)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise _no_numbers(value, what) from error


def floating_dtype(dtype: DTypeLike) -> tf.DType:
    """float32 or float64, as `dtype` names it.

    Raises:
      ValueError: it names something else.
    """
    try:
        found = None if isinstance(dtype, (int, np.ndarray)) else tf.as_dtype(dtype)
    except TypeError:
        found = None
    if found not in (tf.float32, tf.float64):
        raise ValueError(f"`dtype` must be tf.float32 or tf.float64, got {reprlib.repr(dtype)}.")
    return found


def _is_plain(value) -> bool:
    """Whether a (nested) sequence holds Python numbers and arrays only."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(each) for each in value)
    return isinstance(value, (int, float, np.ndarray, np.generic))
