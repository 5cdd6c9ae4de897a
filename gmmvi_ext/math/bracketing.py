"""Root of a decreasing function by repeated grids: few large vectorised evaluations.

A bisection needs one small operation after another; a grid of G points shrinks the bracket G - 1
fold with one large one, and all batch members go together.
"""

from collections.abc import Callable

import tensorflow as tf

__all__ = ["smallest_feasible"]

GRID_POINTS = 17
GRID_ROUNDS = 4


def smallest_feasible(
    is_feasible: Callable[[tf.Tensor], tf.Tensor], low: tf.Tensor, high: tf.Tensor
) -> tf.Tensor:
    """Smallest point of [low, high] from which on `is_feasible` holds, to (high - low) / 65 536.

    Args:
      is_feasible: maps points [K, G] to booleans [K, G], False before the root and True after it.
      low: lower ends, [K].
      high: upper ends, [K]; assumed feasible.

    Returns:
      feasible points, [K]: `low` itself where it is feasible.
    """
    fractions = tf.linspace(tf.constant(0.0, low.dtype), tf.constant(1.0, low.dtype), GRID_POINTS)
    for _ in range(GRID_ROUNDS):
        grid = low[:, tf.newaxis] + (high - low)[:, tf.newaxis] * fractions  # [K, G]
        feasible = is_feasible(grid)
        # First feasible grid point; the last one counts as feasible by assumption.
        blocked = tf.reduce_sum(
            tf.math.cumprod(tf.cast(~feasible[:, :-1], tf.int32), axis=1), axis=1
        )
        # Rounded float32 grids may miss the exact end points: pick them literally.
        high_next = tf.where(
            blocked == GRID_POINTS - 1, high, tf.gather(grid, blocked, axis=1, batch_dims=1)
        )
        low = tf.where(
            blocked == 0, low, tf.gather(grid, tf.maximum(blocked - 1, 0), axis=1, batch_dims=1)
        )
        high = tf.where(blocked == 0, low, high_next)
    return high
