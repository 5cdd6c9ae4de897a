"""Samples in tiles of neighbors, so that work on (sample, component) pairs comes in blocks."""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.math.chunks import padded_size

__all__ = ["Tiles", "joined_tiles", "tile_samples"]


class Tiles(NamedTuple):
    """Samples arranged in B tiles of T slots.

    Attributes:
      index: sample of each slot, int32 [B, T]; the tile's first where the slot is empty, sample 0
        in empty tiles.
      is_used: whether the slot holds a sample, [B, T].
      label: component every sample of the tile is labeled with, int32 [B].
      slot: slot of each sample, flat in [0, B T), int32 [N].
    """

    index: tf.Tensor
    is_used: tf.Tensor
    label: tf.Tensor
    slot: tf.Tensor

    def to_slots(self, values: tf.Tensor) -> tf.Tensor:
        """Gathers values of samples [N, ...] into slots [B, T, ...], the first into empty ones."""
        return tf.gather(values, self.index)

    def to_samples(self, values: tf.Tensor) -> tf.Tensor:
        """Gathers values of slots [B, T] in the order of the samples, [N]."""
        return tf.gather(tf.reshape(values, [-1]), self.slot)


def tile_samples(
    label: tf.Tensor,
    num_labels: tf.Tensor,
    tile_size: int,
    *,
    is_sorted: bool = False,
    is_padded: bool = False,
) -> Tiles:
    """Tiles of samples with equal labels; the last tile of every label may have empty slots.

    Args:
      label: int32 [N].
      num_labels: labels are below it.
      tile_size: T.
      is_sorted: whether the labels ascend already.
      is_padded: whether empty tiles (of the last label) bring their number to one of few sizes (see
        `padded_size`), for numbers of samples that change all the time.
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
    if is_padded:
        extra = tf.where(num_tiles > 0, padded_size(num_tiles) - num_tiles, 0)
        num_tiles += extra
        tiles_per_label += extra * tf.one_hot(num_labels - 1, num_labels, dtype=tf.int32)
    # One more than the sample's position, so that empty slots are the zeros that scatter leaves.
    filled = tf.scatter_nd(tf.expand_dims(slot, 1), order + 1, [num_tiles * tile_size])
    filled = tf.reshape(filled, [num_tiles, tile_size])
    if not is_sorted:
        slot = tf.scatter_nd(tf.expand_dims(order, 1), slot, tf.shape(label))
    label = tf.searchsorted(tf.cumsum(tiles_per_label), tf.range(num_tiles), side="right")
    is_used = filled > 0
    index = tf.maximum(tf.where(is_used, filled, filled[:, :1]) - 1, 0)
    return Tiles(index, is_used, label, slot)


def joined_tiles(first: Tiles, second: Tiles) -> Tiles:
    """Tiles of two sets of samples, the second numbered after the first; T must agree."""
    num_samples, num_slots = tf.size(first.slot), tf.size(first.index)
    return Tiles(
        tf.concat([first.index, second.index + num_samples], axis=0),
        tf.concat([first.is_used, second.is_used], axis=0),
        tf.concat([first.label, second.label], axis=0),
        tf.concat([first.slot, second.slot + num_slots], axis=0),
    )
