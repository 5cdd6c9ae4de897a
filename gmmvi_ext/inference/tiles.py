"""Samples in tiles of neighbours, so that work on (sample, component) pairs comes in blocks."""

from typing import NamedTuple

import tensorflow as tf

__all__ = ["Tiles", "sample_slots", "tile_samples"]


class Tiles(NamedTuple):
    """Samples arranged in B tiles of T slots.

    Attributes:
      index: sample of each slot, 0 where the slot is empty, int32 [B, T].
      is_used: whether the slot holds a sample, [B, T].
      label: component every sample of the tile is labelled with, int32 [B].
    """

    index: tf.Tensor
    is_used: tf.Tensor
    label: tf.Tensor


def tile_samples(
    label: tf.Tensor, num_labels: tf.Tensor, tile_size: int, *, is_sorted: bool = False
) -> Tiles:
    """Tiles of samples with equal labels; the last tile of every label may have empty slots.

    Args:
      label: int32 [N].
      num_labels: labels are below it.
      tile_size: T.
      is_sorted: whether the labels ascend already.
    """
    order = tf.range(tf.size(label)) if is_sorted else tf.argsort(label, stable=True)
    counts = tf.math.bincount(label, minlength=num_labels)
    tiles_per_label = (counts + tile_size - 1) // tile_size
    first_tile = tf.cumsum(tiles_per_label, exclusive=True)
    sorted_label = label if is_sorted else tf.gather(label, order)
    # Slot of a sorted sample: its rank, moved by the empty slots before its label.
    moved = first_tile * tile_size - tf.cumsum(counts, exclusive=True)
    slot = tf.range(tf.size(label)) + tf.gather(moved, sorted_label)
    num_tiles = tf.reduce_sum(tiles_per_label)
    # One more than the sample's position, so that empty slots are the zeros that scatter leaves.
    filled = tf.scatter_nd(slot[:, tf.newaxis], order + 1, [num_tiles * tile_size])
    filled = tf.reshape(filled, [num_tiles, tile_size])
    return Tiles(
        tf.maximum(filled - 1, 0), filled > 0, tf.repeat(tf.range(num_labels), tiles_per_label)
    )


def sample_slots(tiles: Tiles, num_samples: tf.Tensor) -> tf.Tensor:
    """Slot (flat, in [0, B T)) of every sample, int32 [N]."""
    slots = tf.cast(tf.where(tf.reshape(tiles.is_used, [-1]))[:, 0], tf.int32)
    samples = tf.gather(tf.reshape(tiles.index, [-1]), slots)
    return tf.scatter_nd(samples[:, tf.newaxis], slots, [num_samples])
