"""Minibatches for stochastic targets: every sample its own batch, without a loop over samples.

The data are shuffled by the seed and cut into B whole blocks; sample i uses block i mod B. Samples
that share a block are put side by side, so that one batched product handles all of them.
"""

import tensorflow as tf

__all__ = ["group_by_block", "shuffled_blocks", "ungroup"]


def shuffled_blocks(seed, num_data: int, batch_size: int, num_blocks) -> tf.Tensor:
    """Row indices of the first `num_blocks` blocks of a random permutation, [B, batch_size].

    Args:
      seed: [2] int32.
      num_data: number of rows.
      batch_size: rows of one block; at most `num_data`.
      num_blocks: B, at most `num_data // batch_size`; may be a tensor.
    """
    order = tf.random.experimental.stateless_shuffle(tf.range(num_data), seed=seed)
    return tf.reshape(order[: num_blocks * batch_size], [num_blocks, batch_size])


def group_by_block(x: tf.Tensor, num_blocks: tf.Tensor) -> tf.Tensor:
    """Points [N, D] as [B, G, D]: point i lands in group i mod B; the last group is padded with 0."""
    num_points = tf.shape(x)[0]
    per_block = -(-num_points // num_blocks)  # G: rounded up
    x = tf.pad(x, [[0, per_block * num_blocks - num_points], [0, 0]])
    grouped = tf.reshape(x, [per_block, num_blocks, x.shape[1]])
    return tf.transpose(grouped, [1, 0, 2])


def ungroup(grouped: tf.Tensor, num_points) -> tf.Tensor:
    """Inverse of `group_by_block` for values [B, G] or [B, G, D]: back to [N] or [N, D]."""
    rank = grouped.shape.rank
    swapped = tf.transpose(grouped, [1, 0] if rank == 2 else [1, 0, 2])
    flat = tf.reshape(swapped, [-1] if rank == 2 else [-1, grouped.shape[2]])
    return flat[:num_points]
