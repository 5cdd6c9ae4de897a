"""Numbers in a wanted dtype, without a detour through float32.

`tf.cast(0.1, tf.float64)` is 0.10000000149: TensorFlow first makes a float32 tensor of the Python
number. Settings come as Python numbers, hence one function for all of them.
"""

import numpy as np
import tensorflow as tf

__all__ = ["to_dtype"]


def to_dtype(value, dtype: tf.DType) -> tf.Tensor:
    """`value` as a tensor of `dtype`.

    Args:
      value: number, (nested) sequence of numbers, array, tensor or variable.
      dtype: of the result. Python numbers and arrays are rounded once, to it.
    """
    dtype = tf.as_dtype(dtype)
    if isinstance(value, (bool, int, float, np.ndarray, np.generic)) or _is_plain(value):
        return tf.constant(np.asarray(value).astype(dtype.as_numpy_dtype))
    return tf.cast(value, dtype)


def _is_plain(value) -> bool:
    """Whether a (nested) sequence holds Python numbers and arrays only."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(each) for each in value)
    return isinstance(value, (int, float, np.ndarray, np.generic))
