"""A target whose evaluations are split over the replicas of a `tf.distribute` strategy.

    points [N, D]  ->  R equal shards (the last one filled up with points that are there already)
    replica i      ->  values and gradients of shard i
    all replicas   ->  values [N], gradients [N, D] in the order of the points

The algorithm that calls it does not know: it runs as before, once a process. With several processes
(`MultiWorkerMirroredStrategy`) all of them run the same algorithm from the same seed, and every one
gets all values; that they still agree is checked with every batch.
"""

import functools

import tensorflow as tf

from gmmvi_ext.targets.base import Target, WrappedTarget

__all__ = ["DISAGREEMENT", "ShardedTarget"]

DISAGREEMENT = (
    "the workers do not evaluate the same points any more: they were started with different "
    "configurations, from different checkpoints, or on machines that round differently. Give all "
    "of them the same command, with work directories that are all new or of the same iteration"
)


class ShardedTarget(WrappedTarget):
    """`base`, evaluated in shards; everything else is asked of `base` itself.

    Args:
      base: a target of TensorFlow operations.
      strategy: `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy`.

    For stochastic targets every shard has a seed of its own, made of the seed of the call.
    """

    def __init__(self, base: Target, strategy: tf.distribute.Strategy):
        super().__init__(base, name="sharded")
        if not base.is_graph_safe:
            raise ValueError(
                f"target {base.name!r} is evaluated on the host, which `tf.distribute` cannot "
                "shard; use the strategy dask."
            )
        self._strategy = strategy
        self._num_shards = strategy.num_replicas_in_sync
        self._spans_processes = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        # Behind a plain callable: checkpoints of what holds this target do not look into it.
        self._traced = functools.cache(self._make_traced)

    def log_prob(self, x, seed=None):
        return self._evaluate(x, seed, with_grad=False)[:, 0]

    def log_prob_and_grad(self, x, seed=None):
        out = self._evaluate(x, seed, with_grad=True)
        return out[:, 0], out[:, 1:]

    def _evaluate(self, x: tf.Tensor, seed, *, with_grad: bool) -> tf.Tensor:
        """Values and, if asked for, gradients side by side, [N, 1] or [N, 1 + D]."""
        if not tf.executing_eagerly():
            return self._sharded(x, seed, with_grad)
        # Outside a graph the replicas would take turns.
        seed = None if seed is None else tf.convert_to_tensor(seed, tf.int32)
        return self._traced(with_grad)(tf.convert_to_tensor(x, self.dtype), seed)

    def _make_traced(self, with_grad: bool):
        return tf.function(
            lambda x, seed: self._sharded(x, seed, with_grad),
            autograph=False,
            reduce_retracing=True,
        )

    def _sharded(self, x: tf.Tensor, seed, with_grad: bool) -> tf.Tensor:
        shards, count = self._num_shards, tf.shape(x)[0]
        rows = -(-count // shards)
        # What fills the last shard up are points that are evaluated anyway: no new ones.
        index = tf.range(rows * shards) % tf.maximum(count, 1)
        padded = tf.gather(x, index)
        mark = tf.reduce_sum(x) if self._spans_processes else None

        def shard():
            context = tf.distribute.get_replica_context()
            number = tf.cast(context.replica_id_in_sync_group, tf.int32)
            part = padded[number * rows : (number + 1) * rows]
            part.set_shape([None, self.num_dimensions])
            out = self._columns(part, None if seed is None else _own(seed, number), with_grad)
            if mark is None:
                return out
            out = tf.concat([out, tf.fill([rows, 1], mark)], axis=1)
            place = [[number * rows, (shards - 1 - number) * rows], [0, 0]]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.pad(out, place))

        found = self._strategy.experimental_local_results(self._strategy.run(shard))
        if mark is None:
            return tf.concat(found, axis=0)[:count]
        out = found[0][:count]
        agree = tf.reduce_all(out[:, -1] == mark)
        with tf.control_dependencies([tf.debugging.Assert(agree, [DISAGREEMENT])]):
            return out[:, :-1]

    def _columns(self, x: tf.Tensor, seed, with_grad: bool) -> tf.Tensor:
        if not with_grad:
            return tf.cast(self.base.log_prob(x, seed=seed), self.dtype)[:, tf.newaxis]
        values, grads = self.base.log_prob_and_grad(x, seed=seed)
        values = tf.cast(values, self.dtype)[:, tf.newaxis]
        return tf.concat([values, tf.cast(grads, self.dtype)], axis=1)


def _own(seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Seed of one shard; the first one keeps the seed of the call."""
    return tf.where(number == 0, seed, tf.random.fold_in(seed, number))
