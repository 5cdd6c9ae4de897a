"""Where a run computes: the device TensorFlow sees, its threads, and parallel evaluation."""

import contextlib
import dataclasses
import os

import tensorflow as tf

from gmmvi_ext.config.config import Config
from gmmvi_ext.runs.errors import CommandError, UsageError
from gmmvi_ext.targets.parallel.strategies import ParallelError, ParallelEvaluation, open_parallel

__all__ = ["choose_threads", "open_devices", "open_workers", "select_device"]

INTRA_OP_THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's own variable: who sets it decides


def choose_threads() -> None:
    """Leaves every operation half of the cores, as an iteration keeps two operations busy.

    With all of them, threads are woken for operations that are over before they are awake
    (docs/performance.md, Threads). No effect where the user has decided or TensorFlow runs already.
    """
    if INTRA_OP_THREADS in os.environ:
        return
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(max(1, _num_cores() // 2))


def _num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def select_device(name: str | None) -> str:
    """Makes the device `name` the only one TensorFlow sees; returns it in words.

    Args:
      name: "cpu", "gpu", "gpu:1", "auto" or None for auto (a GPU if there is one).

    Raises:
      UsageError: it is not understood.
      CommandError: there is no such device.
    """
    name = (name or "auto").lower()
    gpus = tf.config.list_physical_devices("GPU")
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "gpu") or (index and not index.isdigit()):
        raise UsageError(f"--device {name}: expected cpu, gpu, gpu:1 or auto.")
    if kind == "cpu" or (kind == "auto" and not gpus):
        if gpus:
            tf.config.set_visible_devices([], "GPU")
        tf.zeros([])  # starts the runtime here, where its messages are held back
        return "cpu"
    number = int(index or 0)
    if number >= len(gpus):
        found = f"{len(gpus)} found" if gpus else "none found"
        raise CommandError(f"--device {name}: no such GPU ({found}); use --device cpu.")
    tf.config.set_visible_devices(gpus[number], "GPU")
    tf.config.experimental.set_memory_growth(gpus[number], True)
    tf.zeros([])
    details = tf.config.experimental.get_device_details(gpus[number])
    return f"gpu:{number} ({details.get('device_name', 'unknown')})"


def open_devices(config: Config, device: str | None) -> tuple[str, ParallelEvaluation]:
    """Devices and workers for a run; a configuration without `parallel` takes one device."""
    if not config.has_section("parallel"):
        return select_device(device), ParallelEvaluation()
    choose_threads()
    return open_workers(config, device)


def open_workers(config: Config, device: str | None) -> tuple[str, ParallelEvaluation]:
    """Chooses devices and opens the strategy; returns the devices in words, and the strategy.

    Raises:
      CommandError: there is no such device, or the strategy is not available.
    """
    settings = config.parallel
    is_replicated = settings.strategy in ("mirrored", "multi_worker")
    gpus = tf.config.list_physical_devices("GPU") if is_replicated else []
    takes_all = gpus and (device or "auto").lower() in ("auto", "gpu")
    if takes_all:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    elif is_replicated and (device or "cpu").lower() in ("auto", "cpu"):
        tf.config.set_visible_devices([], "GPU")
    elif is_replicated:
        device = select_device(device)
    try:
        parallel = open_parallel(**dataclasses.asdict(settings))
    except ParallelError as error:
        key = "parallel.strategy"
        raise CommandError(f"{config.origin(key)}: {key}: {error}") from error
    if takes_all:
        words = f"{len(gpus)} gpus"
    elif is_replicated and device is not None and device.startswith("gpu:"):
        words = device
    else:
        words = select_device("cpu" if is_replicated else device)
    if settings.strategy != "none":
        words = f"{words}, {settings.strategy} over {parallel.num_workers} workers"
    return words, parallel
