"""exp of square matrices by scaling and squaring, of any norm, differentiable under XLA.

    exp(A) = exp(A / 2^s)^(2^s),      |A / 2^s| <= 0.35,      twelve terms of the series

s is chosen matrix by matrix. `tf.linalg.expm` has a loop of unknown length, which XLA cannot
differentiate; here the number of squarings has a bound.
"""

from collections.abc import Callable

import tensorflow as tf

from gmmvi_ext.ranges import require_function

__all__ = ["LARGEST_NORM", "expm", "norm"]

TAYLOR_ORDER = 12
SMALL_NORM = 0.35  # remainder of the series below 2e-16
MAX_SQUARINGS = 40
LARGEST_NORM = SMALL_NORM * 2.0**MAX_SQUARINGS  # 4e11: no digit of float32, five of float64 left


def expm(matrix: tf.Tensor, *, after_squaring: Callable | None = None) -> tf.Tensor:
    """exp of square matrices [..., n, n].

    The relative error is about |A| times the machine epsilon, for normal matrices; beyond
    `LARGEST_NORM` the result is NaN.

    Args:
      matrix: A.
      after_squaring: applied to every square, for example to keep products orthogonal.

    Example:
        >>> from gmmvi_ext.constraints.parametrize import expm
        >>> quarter_turn = expm(tf.constant([[0.0, -np.pi / 2], [np.pi / 2, 0.0]]))
        >>> print(tf.linalg.matvec(quarter_turn, [2.0, 1.0]).numpy().round(3))
        [-1.  2.]
    """
    if after_squaring is not None:
        require_function("after_squaring", after_squaring, "the squared matrices")
    size = norm(matrix)
    levels = tf.math.ceil(tf.math.log(tf.maximum(size, SMALL_NORM) / SMALL_NORM) / _log(2.0, size))
    scaled = matrix * tf.pow(_log(1.0, size) + 0.5, levels)
    eye = tf.eye(matrix.shape[-1], dtype=matrix.dtype)
    result = eye + scaled / TAYLOR_ORDER
    for order in range(TAYLOR_ORDER - 1, 0, -1):  # Horner
        result = eye + tf.matmul(scaled, result) / order

    def square(step, result):
        squared = tf.matmul(result, result)
        if after_squaring is not None:
            squared = after_squaring(squared)
        return step + 1, tf.where(step < levels, squared, result)

    largest = tf.reduce_max(levels)
    _, result = tf.while_loop(
        lambda step, _: step < largest,
        square,
        (tf.zeros([], matrix.dtype), result),
        maximum_iterations=MAX_SQUARINGS,
    )
    not_a_number = tf.constant(float("nan"), matrix.dtype)
    return tf.where(size <= LARGEST_NORM, result, not_a_number)


def norm(matrix: tf.Tensor) -> tf.Tensor:
    """Largest row sum of absolute values, [..., 1, 1]; no gradient."""
    sums = tf.reduce_sum(tf.abs(tf.stop_gradient(matrix)), axis=-1, keepdims=True)
    return tf.reduce_max(sums, axis=-2, keepdims=True)


def _log(value: float, like: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.constant(value, like.dtype))
