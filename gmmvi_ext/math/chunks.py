"""Loops over chunks of samples, so that work of size K x N x D needs bounded memory."""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

__all__ = [
    "MAX_CHUNK_ELEMENTS",
    "PARALLEL_CHUNKS",
    "chunk_rows",
    "even_rows",
    "fold_chunks",
    "map_chunks",
    "padded_size",
    "power_of_two",
]

# Largest [rows, K, D] intermediate, in elements. 2^20 float32 values are 4 MB: they stay in the
# last-level cache of current CPUs, and op overhead is still far below the arithmetic.
MAX_CHUNK_ELEMENTS = 1 << 20

# Chunks in flight. What a chunk adds to a sum waits for the chunk before, all else of it does not:
# with two of them one fills the cores that a small operation of the other leaves idle.
PARALLEL_CHUNKS = 2


def chunk_rows(elements_per_row: tf.Tensor, max_elements: int = MAX_CHUNK_ELEMENTS) -> tf.Tensor:
    """Rows of a chunk whose intermediates hold at most `max_elements` values (at least one row)."""
    return tf.maximum(tf.cast(max_elements, tf.int32) // tf.maximum(elements_per_row, 1), 1)


def even_rows(total: tf.Tensor, elements_per_row: tf.Tensor) -> tf.Tensor:
    """Rows of a chunk as in `chunk_rows`, all chunks of `total` rows about equal; at least 1."""
    num_chunks = tf.maximum(-(-total // chunk_rows(elements_per_row)), 1)
    return tf.maximum(-(-total // num_chunks), 1)


def padded_size(size: tf.Tensor) -> tf.Tensor:
    """The least number in 1, ..., 16, 18, ..., 32, 36, ... (eight an octave) not below `size`.

    Batched matrix products prepare a kernel for every batch size that they have not met, which
    costs some hundred microseconds and memory (oneDNN on CPU). Sizes that change from iteration to
    iteration are padded to one of few.
    """
    octave = tf.math.log(tf.cast(tf.maximum(size, 16), tf.float64) - 0.5) / math.log(2.0)
    step = tf.bitwise.left_shift(1, tf.cast(octave, tf.int32) - 3)
    return (tf.maximum(size, 1) + step - 1) // step * step


def power_of_two(size: tf.Tensor) -> tf.Tensor:
    """The least power of two not below `size`, int32 scalar; for shapes that XLA compiles anew."""
    bits = tf.math.ceil(tf.math.log(tf.cast(size, tf.float64) - 0.5) / math.log(2.0))
    return tf.bitwise.left_shift(1, tf.cast(bits, tf.int32))


def map_chunks(
    fn: Callable[..., tf.Tensor], arrays: Sequence[tf.Tensor], rows: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """Concatenation of `fn(*chunk)` over chunks of `rows` leading rows.

    One loop serves every size: a second copy of `fn` for the case of a single chunk would save some
    microseconds a call and cost a fifth of the tracing time of the whole iteration.

    Args:
      fn: maps tensors with n leading rows to a matrix [n, M].
      arrays: tensors with N leading rows.
      rows: int32 scalar, rows of a chunk.
      dtype: dtype of the values of `fn`.
    """
    total = tf.shape(arrays[0])[0]
    num_chunks = tf.maximum((total + rows - 1) // rows, 1)
    pieces = tf.TensorArray(dtype, num_chunks, element_shape=[None, None], infer_shape=False)

    def body(i, pieces):
        chunk = [array[i * rows : (i + 1) * rows] for array in arrays]
        return i + 1, pieces.write(i, fn(*chunk))

    _, pieces = tf.while_loop(
        lambda i, _: i < num_chunks, body, (0, pieces), parallel_iterations=PARALLEL_CHUNKS
    )
    return pieces.concat()


def fold_chunks(
    fn: Callable[..., tuple[tf.Tensor, ...]],
    state: tuple[tf.Tensor, ...],
    arrays: Sequence[tf.Tensor],
    rows: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """`state = fn(state, *chunk)` over chunks of `rows` leading rows."""
    total = tf.shape(arrays[0])[0]

    def body(start, state):
        chunk = [array[start : start + rows] for array in arrays]
        return start + rows, fn(state, *chunk)

    _, state = tf.while_loop(
        lambda start, _: start < total, body, (0, state), parallel_iterations=PARALLEL_CHUNKS
    )
    return state
