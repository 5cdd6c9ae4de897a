"""Parallel evaluation of a target: by devices, by processes on several hosts, by a Dask cluster.

    with open_parallel("mirrored", num_workers=2) as parallel:
        target = parallel.distribute(target)

| strategy | for | workers |
|---|---|---|
| none | every target | this process |
| mirrored | TensorFlow targets | the GPUs of this machine, or logical CPU devices |
| multi_worker | TensorFlow targets | processes that TF_CONFIG names, all given the same command |
| dask | host functions | processes of a local cluster, or the cluster at an address |
"""

import copy
import json
import os
import time

import numpy as np
import tensorflow as tf

from gmmvi_ext.lazy import former_names
from gmmvi_ext.math.random import stream
from gmmvi_ext.network import (
    beyond_this_machine,
    listening_note,
    worker_addresses,
)
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.callables import HostTarget
from gmmvi_ext.targets.parallel.cluster import ClusterMap
from gmmvi_ext.targets.parallel.sharded import ShardedTarget

__all__ = ["STRATEGIES", "ParallelError", "ParallelEvaluation", "open_parallel"]

STRATEGIES = ("none", "mirrored", "multi_worker", "dask")
# Overhead of one batch in seconds, measured on two cores (docs/parallel.md).
OVERHEAD = {"mirrored": 0.002, "multi_worker": 0.006, "dask": 0.010}
__getattr__ = former_names(
    __name__,
    {
        "Distribution": "ParallelEvaluation",
        "DistributionError": "ParallelError",
        "open_distribution": "open_parallel",
    },
)
NUM_TIMED = 256  # points of the batch that the cost is stated for
FIRST_TIMED = 8


class ParallelError(ValueError):
    """A strategy that is not available here, or not for this target; says what to do."""


class ParallelEvaluation:
    """The strategy `none`, and the interface of the others; a context that closes what it opened.

    Attributes:
      strategy: its name.
      num_workers: how many evaluate in parallel.
      worker: number of this process among those that run the algorithm.
      is_usable_after_close: whether targets can still be evaluated when the context is left, by
        this process alone.
      is_chief: whether this process writes results.
      warnings: lines about ports that were opened.
    """

    strategy = "none"
    warnings: tuple[str, ...] = ()
    num_workers = 1
    worker = 0
    is_usable_after_close = True

    @property
    def is_chief(self) -> bool:
        return self.worker == 0

    def distribute(self, target: Target) -> Target:
        """The target, evaluated in parallel.

        Raises:
          ParallelError: this strategy is not for such a target.
        """
        return target

    def agreed(self, wishes: np.ndarray) -> np.ndarray:
        """Sum over all processes of a vector of counts, int32; the same in all of them."""
        return wishes

    def close(self) -> None:
        """Gives back what was opened."""

    def __enter__(self) -> "ParallelEvaluation":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def cost_note(self, target: Target) -> str | None:
        """A line if `target`, timed once on its own, is too cheap for parallel evaluation to pay.

        These evaluations are not counted.
        """
        overhead = OVERHEAD.get(self.strategy)
        if overhead is None:
            return None
        if self.num_workers == 1:
            return f"strategy {self.strategy} has one worker: nothing is evaluated in parallel"
        seconds = _seconds(target)
        saved = seconds * (1.0 - 1.0 / self.num_workers)
        if saved > overhead:
            return None
        return (
            f"{NUM_TIMED} points cost the target {1e3 * seconds:.2g} ms; evaluated in parallel by "
            f"{self.num_workers} workers this saves at most {1e3 * saved:.2g} ms and takes "
            f"about {1e3 * overhead:.2g} ms: too cheap for strategy {self.strategy} to pay, use "
            "none"
        )


class _Replicated(ParallelEvaluation):
    """`tf.distribute`: devices of this process, and of others."""

    def __init__(self, name: str, strategy: tf.distribute.Strategy, worker: int = 0):
        self.strategy, self._strategy, self.worker = name, strategy, worker
        self.num_workers = strategy.num_replicas_in_sync
        self.is_usable_after_close = name == "mirrored"
        self._sum = tf.function(self._summed, autograph=False, reduce_retracing=True)

    def distribute(self, target):
        if not target.is_graph_safe:
            raise ParallelError(
                f"strategy {self.strategy} is for targets of TensorFlow operations, this one is "
                "evaluated on the host; use strategy dask."
            )
        return ShardedTarget(target, self._strategy)

    def agreed(self, wishes):
        if self.strategy != "multi_worker":
            return wishes
        return self._sum(tf.constant(wishes, tf.int32)).numpy()

    def _summed(self, wishes):
        def replica():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(wishes))

        return self._strategy.experimental_local_results(self._strategy.run(replica))[0]


class _Clustered(ParallelEvaluation):
    """A Dask cluster."""

    strategy = "dask"

    def __init__(self, client, opened: tuple = ()):
        self._map, self._opened = ClusterMap(client), opened
        self.num_workers = self._map.num_workers
        self.is_usable_after_close = not opened

    def distribute(self, target):
        if target.is_graph_safe:
            raise ParallelError(
                "strategy dask is for functions that the host evaluates, this target is made of "
                "TensorFlow operations; use strategy mirrored or multi_worker."
            )
        if not isinstance(target, HostTarget):
            raise ParallelError(
                f"strategy dask needs a function to send to the workers, which targets of type "
                f"{type(target).__name__} do not have; give the function itself, or a `HostTarget`."
            )
        if target.executor is not None:
            raise ParallelError("give either `executor` or strategy dask, not both.")
        shared = copy.copy(target)
        shared.cluster = self._map
        return shared

    def close(self):
        for each in self._opened:
            each.close()


def open_parallel(
    strategy="none",
    *,
    num_workers: int | None = None,
    address: str | None = None,
    allow_network: bool = False,
) -> ParallelEvaluation:
    """Opens a strategy; before any TensorFlow operation has run, where devices are to be set up.

    Args:
      strategy: one of `STRATEGIES`, or an object: `tf.distribute.Strategy`, `distributed.Client`,
        `ParallelEvaluation`.
      num_workers: logical CPU devices (mirrored, where there is no GPU) or processes of the local
        cluster (dask); None takes all devices there are, and one process a core.
      address: of the scheduler of a Dask cluster that runs already.
      allow_network: take addresses beyond this machine, too (docs/security.md).

    Raises:
      ParallelError: it is not available; says why and what to do.
    """
    if isinstance(strategy, ParallelEvaluation):
        return strategy
    if isinstance(strategy, tf.distribute.Strategy):
        is_multi = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        name = "multi_worker" if is_multi else "mirrored"
        return _Replicated(name, strategy, _task()[0] if is_multi else 0)
    if not isinstance(strategy, str) and hasattr(strategy, "submit"):
        return _Clustered(strategy)
    chosen = strategy if isinstance(strategy, str) else None  # an array is equal to many
    if strategy is None or chosen == "none":
        return ParallelEvaluation()
    if chosen == "mirrored":
        return _Replicated("mirrored", _mirrored(num_workers))
    if chosen == "multi_worker":
        return _multi_worker(allow_network)
    if chosen == "dask":
        _require_trust([] if address is None else [address], allow_network)
        return _dask(num_workers, address)
    raise ParallelError(
        f"`strategy` must be one of {', '.join(STRATEGIES)}, a tf.distribute.Strategy or a "
        f"distributed.Client, got {strategy!r}."
    )


def _mirrored(num_workers: int | None) -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    if gpus:
        if num_workers is not None and num_workers > len(gpus):
            raise ParallelError(
                f"`num_workers` is {num_workers}, but TensorFlow sees {len(gpus)} GPUs."
            )
        return _strategy_of(gpus[:num_workers])
    if num_workers is not None:
        _split_cpu(num_workers)
    cpus = tf.config.list_logical_devices("CPU")
    if num_workers is not None and len(cpus) < num_workers:
        raise ParallelError(
            f"{num_workers} logical CPU devices cannot be set up any more, TensorFlow has started "
            f"with {len(cpus)}; open the strategy before anything is computed, or call "
            "tf.config.set_logical_device_configuration at the start of the program."
        )
    return _strategy_of(cpus[:num_workers])


def _split_cpu(count: int) -> None:
    """Makes `count` logical devices of the CPU, where TensorFlow has not started yet."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError:
        return  # has started: the devices there are decide


def _strategy_of(devices: list) -> tf.distribute.Strategy:
    names = [device.name for device in devices]
    # Shards are put together by the algorithm's own device: no collective library is needed.
    reduction = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(names, cross_device_ops=reduction)


def _task() -> tuple[int, int]:
    """Number of this worker and number of workers, of TF_CONFIG."""
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        index, workers = int(config["task"]["index"]), config["cluster"]["worker"]
        if not all(isinstance(each, str) for each in workers) or not 0 <= index < len(workers):
            raise ValueError(f"task {index} of the workers {workers}")
        return index, len(workers)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ParallelError(
            "strategy multi_worker reads the addresses of all workers from the environment "
            "variable TF_CONFIG, which is "
            f"{'missing' if 'TF_CONFIG' not in os.environ else 'not understood'}; set for worker 0 "
            'of two: TF_CONFIG=\'{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
            '"task": {"type": "worker", "index": 0}}\'.'
        ) from error


def _require_trust(addresses: list[str], allow_network: bool) -> None:
    """Addresses beyond this machine are taken only where they are meant."""
    beyond = [each for each in addresses if beyond_this_machine(each)]
    if beyond and not allow_network:
        raise ParallelError(
            f"{', '.join(beyond)}: not an address of this machine; whoever reaches such a port can "
            "run anything here. Where the network is yours alone, set parallel.allow_network=true "
            "(docs/security.md)."
        )


def _multi_worker(allow_network: bool) -> ParallelEvaluation:
    worker, _ = _task()
    _require_trust(worker_addresses(), allow_network)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ParallelError(
            "strategy multi_worker has to be opened before TensorFlow computes anything: call it "
            f"at the start of the program, or use `gmmvi-ext run --strategy multi_worker` ({error})"
        ) from error
    parallel = _Replicated("multi_worker", strategy, worker)
    parallel.warnings = (listening_note(worker),)
    return parallel


def _dask(num_workers: int | None, address: str | None) -> ParallelEvaluation:
    try:
        import distributed
    except ImportError as error:
        raise ParallelError(
            "strategy dask needs the package distributed: pip install 'gmmvi_ext[dask]'."
        ) from error
    if address is not None:
        try:
            client = distributed.Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise ParallelError(
                f"`address`: no Dask scheduler answers at {address} ({type(error).__name__})."
            ) from error
        return _Clustered(client, (client,))
    count = num_workers or os.cpu_count() or 1
    cluster = distributed.LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        worker_dashboard_address=None,
    )
    client = distributed.Client(cluster)
    return _Clustered(client, (client, cluster))


def _seconds(target: Target) -> float:
    """Seconds that `NUM_TIMED` points take, from few points where they are slow."""
    seed = stream(0, "evaluation cost")

    def evaluate(x):
        if target.has_gradient:
            return target.log_prob_and_grad(x, seed=seed)
        return target.log_prob(x, seed=seed)

    if target.is_graph_safe:
        spec = tf.TensorSpec([None, target.num_dimensions], target.dtype)
        evaluate = tf.function(evaluate, input_signature=[spec], autograph=False)
    noise = np.random.default_rng(0).standard_normal((NUM_TIMED, target.num_dimensions))
    x = tf.constant(0.1 * noise, target.dtype)

    def timed(count: int) -> float:
        begin = time.perf_counter()
        np.asarray(tf.nest.flatten(evaluate(x[:count]))[0])
        return time.perf_counter() - begin

    if target.is_graph_safe:
        timed(FIRST_TIMED)  # tracing
    few = timed(FIRST_TIMED)
    if few > 0.1:
        return few * NUM_TIMED / FIRST_TIMED
    timed(NUM_TIMED)
    return min(timed(NUM_TIMED), timed(NUM_TIMED))
