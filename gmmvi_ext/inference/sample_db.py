"""Where evaluated samples are kept: a store for candidates, a replay buffer for reuse.

The store is a ring of the newest samples with their log densities; it grows in few steps up to a
fixed capacity and never copies otherwise (the reference concatenates all arrays in every iteration
and thins them to every second sample when they are full).

The replay buffer, or window, holds the newest whole blocks (the batch that one iteration drew) with
everything that importance weighting needs. Its proposal density is the mixture of the block
proposals p_b with weights N_b / N; log p_b(x_n) is kept for all pairs, so an iteration adds one row
set (old proposals at the new samples) and one column (the new proposal at the old samples) instead
of starting again.
"""

from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Components, DiagonalGaussians, LowRankGaussians
from gmmvi_ext.gaussians.full import InverseFactors
from gmmvi_ext.math.chunks import chunk_rows, map_chunks

__all__ = ["Ring", "SampleDB", "Window", "empty_window", "extend_window"]

INITIAL_CAPACITY = 1024
GROWTH = 4  # a step of the ring copies everything three times: a few large ones


class Window(NamedTuple):
    """The replay buffer: the newest batches ("blocks") of samples, oldest first.

    Attributes:
      x: samples, [N, D].
      target_log_prob: [N].
      target_log_prob_grad: [N, D] or [N, 0].
      is_valid: [N].
      nearest_id: id of a component that was near the sample, int64 [N].
      block: block of each sample, int32 [N], ascending from 0 to B - 1.
      block_log_prob: log p_b(x_n), [N, B].
      block_counts: samples of each block, int32 [B].
      snapshot_block: block of each snapshot component, int32 [C], ascending.
      snapshot_log_weights: log weight of each snapshot within its block, [C].
      snapshots: the C components that drew the blocks, in the form for evaluation.
    """

    x: tf.Tensor
    target_log_prob: tf.Tensor
    target_log_prob_grad: tf.Tensor
    is_valid: tf.Tensor
    nearest_id: tf.Tensor
    block: tf.Tensor
    block_log_prob: tf.Tensor
    block_counts: tf.Tensor
    snapshot_block: tf.Tensor
    snapshot_log_weights: tf.Tensor
    snapshots: InverseFactors | DiagonalGaussians | LowRankGaussians

    @property
    def proposal_log_prob(self) -> tf.Tensor:
        """log of sum_b N_b / N p_b(x_n), [N]."""
        return tf.reduce_logsumexp(self.block_log_prob + self._log_share, axis=1)

    def proposal_log_prob_after(self, before: "Window") -> tf.Tensor:
        """The same, [N], from the sums of `before`, this window without its newest block.

        Without going over the old blocks again, which makes a difference when there are dozens.
        """
        size, share = tf.size(before.block), self._log_share
        rest = tf.math.log1p(-tf.exp(share[-1]))  # share of the old blocks
        terms = tf.stack(
            [before.proposal_log_prob + rest, self.block_log_prob[:size, -1] + share[-1]]
        )
        old = tf.reduce_logsumexp(terms, axis=0)
        new = tf.reduce_logsumexp(self.block_log_prob[size:] + share, axis=1)
        return tf.concat([old, new], axis=0)

    @property
    def _log_share(self) -> tf.Tensor:
        """log N_b / N, [B]."""
        counts = tf.cast(self.block_counts, self.block_log_prob.dtype)
        return tf.math.log(counts) - tf.math.log(tf.reduce_sum(counts))

    def newest(self, num_samples: tf.Tensor) -> "Window":
        """The fewest newest blocks that hold at least `num_samples` samples, or all."""
        since = tf.cumsum(self.block_counts, reverse=True)  # samples in this and later blocks
        num_blocks = tf.shape(self.block_counts)[0]
        needed = tf.reduce_sum(tf.cast(since - self.block_counts < num_samples, tf.int32))
        first = num_blocks - tf.minimum(needed, num_blocks)
        start = tf.searchsorted(self.block, [first])[0]
        start_snapshot = tf.searchsorted(self.snapshot_block, [first])[0]
        return Window(
            self.x[start:],
            self.target_log_prob[start:],
            self.target_log_prob_grad[start:],
            self.is_valid[start:],
            self.nearest_id[start:],
            self.block[start:] - first,
            self.block_log_prob[start:, first:],
            self.block_counts[first:],
            self.snapshot_block[start_snapshot:] - first,
            self.snapshot_log_weights[start_snapshot:],
            type(self.snapshots)(*(field[start_snapshot:] for field in self.snapshots)),
        )


def empty_window(components: Components, *, with_gradient: bool) -> Window:
    """A window without samples, of the family and dtype of `components`."""
    dim, dtype = components.num_dimensions, components.dtype
    snapshots = components.for_evaluation()
    return Window(
        tf.zeros([0, dim], dtype),
        tf.zeros([0], dtype),
        tf.zeros([0, dim if with_gradient else 0], dtype),
        tf.zeros([0], tf.bool),
        tf.zeros([0], tf.int64),
        tf.zeros([0], tf.int32),
        tf.zeros([0, 0], dtype),
        tf.zeros([0], tf.int32),
        tf.zeros([0], tf.int32),
        tf.zeros([0], dtype),
        type(snapshots)(*(field[:0] for field in snapshots)),
    )


def extend_window(
    window: Window,
    *,
    x: tf.Tensor,
    target_log_prob: tf.Tensor,
    target_log_prob_grad: tf.Tensor,
    is_valid: tf.Tensor,
    nearest_id: tf.Tensor,
    components: Components,
    counts: tf.Tensor,
    log_prob: tf.Tensor,
) -> Window:
    """The window with one more block.

    Args:
      window: what is kept of the past, N samples.
      x: new samples, [n, D], with `target_log_prob`, `target_log_prob_grad` and `is_valid`.
      nearest_id: of old and new samples, int64 [N + n].
      components: the K components that drew them.
      counts: draws of each component, int32 [K].
      log_prob: log density of the new block, sum_k counts_k / n N_k, at old and new samples,
        [N + n].
    """
    num_blocks = tf.shape(window.block_counts)[0]
    drawn = tf.cast(counts, x.dtype)
    log_share = tf.math.log(drawn) - tf.math.log(tf.reduce_sum(drawn))
    new_rows = _block_log_prob(window, x)  # [n, B]
    block_log_prob = tf.concat(
        [
            tf.concat([window.block_log_prob, new_rows], axis=0),
            tf.expand_dims(log_prob, 1),
        ],
        axis=1,
    )
    size = tf.shape(x)[0]
    used = tf.where(counts > 0)[:, 0]
    snapshots = type(window.snapshots)(
        *(
            tf.concat([old, tf.gather(new, used)], axis=0)
            for old, new in zip(window.snapshots, components.for_evaluation(), strict=True)
        )
    )
    return Window(
        tf.concat([window.x, x], axis=0),
        tf.concat([window.target_log_prob, target_log_prob], axis=0),
        tf.concat([window.target_log_prob_grad, target_log_prob_grad], axis=0),
        tf.concat([window.is_valid, is_valid], axis=0),
        nearest_id,
        tf.concat([window.block, tf.fill([size], num_blocks)], axis=0),
        block_log_prob,
        tf.concat([window.block_counts, [size]], axis=0),
        tf.concat([window.snapshot_block, tf.fill([tf.size(used)], num_blocks)], axis=0),
        tf.concat([window.snapshot_log_weights, tf.gather(log_share, used)], axis=0),
        snapshots,
    )


def _block_log_prob(window: Window, x: tf.Tensor) -> tf.Tensor:
    """log p_b(x_n) of every block of the window, [n, B].

    A sum over contiguous snapshots. The largest term of a sample is taken out first; a block more
    than 87 nats below it underflows to -inf, which is harmless: the block that drew the sample is
    always near its top, and it leaves the window last.
    """
    snapshots, dim = window.snapshots, window.snapshots.num_dimensions
    fields = [window.snapshot_log_weights, *snapshots]

    def rows(points):
        def weighted(log_weights, *part):
            log_prob = type(snapshots)(*part).log_prob_rows_fn()(points)
            return log_prob + tf.expand_dims(log_weights, 1)

        # In chunks of snapshots: products with few points, one after the other, are slow.
        chunk = chunk_rows(tf.shape(points)[0] * dim)
        terms = map_chunks(weighted, fields, chunk, x.dtype)  # [C, n]
        top = tf.reduce_max(terms, axis=0)
        sums = tf.math.segment_sum(tf.exp(terms - top), window.snapshot_block)  # [B, n]
        return tf.transpose(tf.math.log(sums) + top)

    def nothing():
        return tf.zeros([tf.shape(x)[0], 0], x.dtype)

    size = snapshots.num_components
    return tf.cond(size > 0, lambda: map_chunks(rows, [x], chunk_rows(size), x.dtype), nothing)


class Ring(NamedTuple):
    """The newest evaluated samples, in variables.

    Attributes:
      x: allocated places, [A, D].
      log_prob: target log densities, [A].
      num_written: samples written so far, int64; sample n lies at n modulo the capacity.
    """

    x: tf.Variable
    log_prob: tf.Variable
    num_written: tf.Variable

    def add(self, x: tf.Tensor, log_prob: tf.Tensor, capacity: int) -> None:
        """Appends samples [N, D] with their log densities [N]; the oldest make room."""
        x, log_prob = x[-capacity:], log_prob[-capacity:]
        size = tf.shape(x, out_type=tf.int64)[0]
        # Not tf.shape: reading the variable would copy it, because it is written in place.
        allocated = tf.raw_ops.VariableShape(input=self.x.handle, out_type=tf.int64)[0]
        needed = tf.minimum(self.num_written + size, capacity)

        def grow():
            wanted = tf.maximum(GROWTH * allocated, needed)
            extra = tf.minimum(wanted, capacity) - allocated
            self.x.assign(tf.pad(self.x, [[0, extra], [0, 0]]))
            self.log_prob.assign(tf.pad(self.log_prob, [[0, extra]]))
            return True

        tf.cond(needed > allocated, grow, lambda: False)
        slots = (self.num_written + tf.range(size)) % capacity
        self.x.scatter_update(tf.IndexedSlices(x, slots))
        self.log_prob.scatter_update(tf.IndexedSlices(log_prob, slots))
        self.num_written.assign_add(size)

    def random(
        self, num_samples: int, seed: tf.Tensor, capacity: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Up to `num_samples` stored samples and their log densities.

        All of them if there are no more, else a draw with replacement (a double is harmless to
        whoever looks for the best candidate).
        """
        stored = tf.minimum(self.num_written, capacity)

        def everything():
            # A slice of the variable itself would keep it alive as long as the graph.
            return self.x.read_value()[:stored], self.log_prob.read_value()[:stored]

        def draw():
            index = tf.random.stateless_uniform([num_samples], seed, maxval=stored, dtype=tf.int64)
            return tf.gather(self.x, index), tf.gather(self.log_prob, index)

        return tf.cond(stored <= num_samples, everything, draw)


class SampleDB(tf.Module):
    """Ring of the newest evaluated samples, and the window for reuse, held in variables.

    Args:
      num_dimensions: D.
      capacity: most samples the ring keeps.
      components: any components of the mixture's family (for the window).
      with_gradient: whether gradients are recorded.
      dtype: floating dtype.
    """

    def __init__(
        self,
        num_dimensions: int,
        *,
        capacity: int,
        components: Components,
        with_gradient: bool,
        dtype=tf.float32,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if capacity < 1:
            raise ValueError(f"`capacity` must be at least 1, got {capacity}.")
        self.capacity = int(capacity)
        first = min(INITIAL_CAPACITY, self.capacity)
        self._x = tf.Variable(
            tf.zeros([first, num_dimensions], dtype),
            shape=[None, num_dimensions],
            trainable=False,
            name="store_x",
        )
        self._log_prob = tf.Variable(
            tf.zeros([first], dtype), shape=[None], trainable=False, name="store_log_prob"
        )
        self.num_written = tf.Variable(0, dtype=tf.int64, trainable=False, name="num_written")
        window = empty_window(components, with_gradient=with_gradient)
        shapes = {"block_log_prob": [None, None]}
        self._window = Window(
            *(
                tf.nest.map_structure(
                    lambda value, name=name: tf.Variable(
                        value,
                        shape=shapes.get(name, [None, *value.shape[1:]]),
                        trainable=False,
                        name=f"window_{name}",
                    ),
                    field,
                )
                for name, field in window._asdict().items()
            )
        )

    def window(self) -> Window:
        """The current window."""
        return tf.nest.map_structure(lambda variable: variable.read_value(), self._window)

    @property
    def num_stored(self) -> tf.Tensor:
        """Samples in the ring, int64."""
        return tf.minimum(self.num_written, self.capacity)

    @property
    def ring(self) -> Ring:
        """The variables of the ring."""
        return Ring(self._x, self._log_prob, self.num_written)

    @property
    def window_variables(self) -> Window:
        """Those of the window."""
        return self._window

    def add(self, x: tf.Tensor, log_prob: tf.Tensor) -> None:
        """`Ring.add`."""
        self.ring.add(x, log_prob, self.capacity)

    def random(self, num_samples: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`Ring.random`."""
        return self.ring.random(num_samples, seed, self.capacity)
