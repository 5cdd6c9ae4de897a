"""Minibatches for stochastic targets: every sample its own batch, without a loop over samples.

The data are shuffled by the seed and cut into B whole blocks; sample i uses block i mod B. Samples
that share a block are put side by side, so that one batched product handles all of them.
"""

import tensorflow as tf

__all__ = ["group_by_block", "map_padded_chunks", "shuffled_blocks", "ungroup"]


def shuffled_blocks(seed, num_data: int, batch_size: int, num_blocks) -> tf.Tensor:
    """Row indices of the first `num_blocks` blocks of a random permutation, [B, batch_size].

    Args:
      seed: [2] int32.
      num_data: number of rows.
      batch_size: rows of one block; at most `num_data`.
      num_blocks: B, at most `num_data // batch_size`; may be a tensor.
    """
    # Not `stateless_shuffle`: XLA cannot compile it. (Compiled or not, the shuffles differ.)
    order = tf.argsort(tf.random.stateless_uniform([num_data], seed))
    return tf.reshape(order[: num_blocks * batch_size], [num_blocks, batch_size])


def group_by_block(x: tf.Tensor, num_blocks: tf.Tensor) -> tf.Tensor:
    """Points [N, D] as [B, G, D]: point i lands in group i mod B; padded with zeros."""
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


def map_padded_chunks(fn, x: tf.Tensor, chunk_size: int, signature):
    """`fn` applied to chunks of the rows of x [N, D], results put together again; bounded memory.

    Args:
      fn: maps [chunk, D] to a tensor, or a tuple of tensors, with leading axis `chunk`.
      x: points, [N, D].
      chunk_size: largest number of rows in a chunk; chunks are even, the last one is padded with
        zeros, and what they give is dropped.
      signature: `tf.TensorSpec` (or tuple of them) of the outputs of `fn`.
    """
    num_points = tf.shape(x)[0]
    num_chunks = tf.maximum(1, -(-num_points // chunk_size))
    rows = -(-num_points // num_chunks)
    padded = tf.pad(x, [[0, rows * num_chunks - num_points], [0, 0]])
    parts = tf.reshape(padded, [num_chunks, rows, x.shape[1]])
    out = tf.map_fn(fn, parts, fn_output_signature=signature)

    def join(each):
        shape = tf.concat([[num_chunks * rows], tf.shape(each)[2:]], axis=0)
        return tf.reshape(each, shape)[:num_points]

    return tf.nest.map_structure(join, out)
