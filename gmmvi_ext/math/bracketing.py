"""Root of a decreasing function by repeated grids: few large vectorized evaluations.

A bisection needs one small operation after another; a grid of G points shrinks the bracket G - 1
fold with one large one, and all batch members go together.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ["smallest_feasible"]

GRID_POINTS = 17
GRID_ROUNDS = 4


def smallest_feasible(
    is_feasible: Callable[[tf.Tensor], tf.Tensor],
    low: tf.Tensor,
    high: tf.Tensor,
    rounds: int = GRID_ROUNDS,
) -> tf.Tensor:
    """Smallest point of [low, high] from which on `is_feasible` holds, to (high - low) / 16^rounds.

    Args:
      is_feasible: maps points [K, G] to booleans [K, G], False before the root and True after it.
      low: lower ends, [K].
      high: upper ends, [K]; assumed feasible.
      rounds: grids.

    Returns:
      feasible points, [K]: `low` itself where it is feasible.
    """
    fractions = tf.constant(np.linspace(0.0, 1.0, GRID_POINTS), low.dtype)
    for _ in range(rounds):
        grid = tf.expand_dims(low, 1) + tf.expand_dims(high - low, 1) * fractions  # [K, G]
        feasible = is_feasible(grid)
        # Never past the ends, which float32 grids may miss by a rounding.
        first = tf.reduce_min(tf.where(feasible, grid, tf.expand_dims(high, 1)), axis=1)
        high = tf.minimum(first, high)
        is_below = grid < tf.expand_dims(high, 1)
        low = tf.reduce_max(tf.where(is_below, grid, tf.expand_dims(low, 1)), axis=1)
    return high
