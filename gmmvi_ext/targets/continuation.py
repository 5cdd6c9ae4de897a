"""Log densities beyond the last point that a float format resolves: see `constraints.edges`.

    log p~(x) = log p~(x_c) + (x - x_c) . s,      x_c = layout.held(x),   s = grad log p~(x_c)

The gradient at x is s: how s changes with coordinates that are not beyond (a concentration that is
a parameter itself) is left out of it, never out of the values.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ["continued", "rise", "secant_slopes"]

SECANT_STEP = 3.0 * np.log(2.0)  # an eightfold distance from the bound is representable as well


def rise(beyond: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """What the line adds, [N].

    Args:
      beyond: x - x_c, [N, D], exactly zero where nothing lies beyond.
      slope: s, [N, D].
    """
    product = tf.where(beyond != 0, beyond * slope, tf.zeros_like(beyond))
    return tf.reduce_sum(product, axis=-1)


def continued(
    plain: tf.Tensor, log_prob: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, held: tf.Tensor
) -> tf.Tensor:
    """Values at x, [N]; nothing is evaluated but `plain` where no point lies beyond.

    Args:
      plain: `log_prob(x)`, [N].
      log_prob: log density with its log-determinant.
      x: points, [N, D].
      held: x_c, [N, D].
    """
    beyond = x - held
    is_beyond = tf.reduce_any(beyond != 0, axis=-1)

    def along_the_line():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(held)
            values = log_prob(held)
        slope = tape.gradient(values, held)
        if slope is None:
            return plain
        line = values + rise(beyond, tf.stop_gradient(tf.convert_to_tensor(slope)))
        return tf.where(is_beyond, line, plain)

    if tf.executing_eagerly():
        return along_the_line() if tf.reduce_any(is_beyond) else plain
    return tf.cond(tf.reduce_any(is_beyond), along_the_line, lambda: plain)


def secant_slopes(
    log_prob: Callable[[np.ndarray], np.ndarray], held: np.ndarray, beyond: np.ndarray
) -> np.ndarray:
    """Slopes [N, D] of a density without gradient, zero in coordinates that do not lie beyond."""
    slopes = np.zeros_like(beyond)
    rows, columns = np.nonzero(beyond)
    if rows.size == 0:
        return slopes
    step = (SECANT_STEP * np.sign(beyond[rows, columns])).astype(held.dtype)
    inner = held[rows]
    inner[np.arange(rows.size), columns] -= step
    values = log_prob(np.concatenate([held[rows], inner]))
    slopes[rows, columns] = (values[: rows.size] - values[rows.size :]) / step
    return slopes
