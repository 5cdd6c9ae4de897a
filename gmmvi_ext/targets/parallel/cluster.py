"""Host functions evaluated on a Dask cluster: a batch is cut into parts, one for each thread.

The functions travel by value, so that workers need neither this package nor TensorFlow, only what
the functions themselves import. A part that fails (an exception, a worker that dies) costs its own
points alone.
"""

import contextlib
import itertools
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["ClusterMap", "Part"]

REFRESH_SECONDS = 5.0  # between two looks at how many threads the cluster has


class Part(NamedTuple):
    """Result of the rows `start` to `stop` of a batch; `result` is None where `error` is not."""

    start: int
    stop: int
    result: object
    error: Exception | None


class ClusterMap:
    """Evaluates functions of batches on the workers of a cluster.

    Args:
      client: `distributed.Client`.
    """

    def __init__(self, client):
        self._client = client
        self._shipped: dict[int, tuple] = {}
        self._width, self._seen = 1, -float("inf")
        self._call = _make_call()

    @property
    def num_workers(self) -> int:
        """Threads of the cluster."""
        if time.monotonic() - self._seen > REFRESH_SECONDS:
            self._width = max(1, sum(self._client.nthreads().values()))
            self._seen = time.monotonic()
        return self._width

    def __call__(self, fn: Callable, arrays, *, single: bool = False) -> list[Part]:
        """`fn` of the parts of a batch.

        Args:
          fn: function of a batch, or of one point.
          arrays: array [N, ...], or a dict of such arrays.
          single: whether `fn` takes one point; the result of a part is then a list, in which what
            raised is an exception.
        """
        count = len(arrays if not isinstance(arrays, dict) else next(iter(arrays.values())))
        edges = np.linspace(0, count, min(self.num_workers, max(count, 1)) + 1).astype(int)
        shipped = self._ship(fn)
        parts = [
            (
                start,
                stop,
                self._client.submit(
                    self._call, shipped, _rows(arrays, start, stop), single, pure=False
                ),
            )
            for start, stop in itertools.pairwise(edges)
        ]
        return [self._finished(start, stop, future) for start, stop, future in parts]

    def _finished(self, start: int, stop: int, future) -> Part:
        try:
            result, error = future.result()
        except Exception as lost:  # noqa: BLE001 - a worker that died, or a result that cannot travel
            result, error = None, lost
        if isinstance(error, str):
            error = RuntimeError(error)
        return Part(int(start), int(stop), result, error)

    def _ship(self, fn: Callable):
        """The function on every worker, sent once."""
        if id(fn) not in self._shipped or self._shipped[id(fn)][1].status != "finished":
            future = self._client.scatter(_ByValue(fn), broadcast=True, hash=False)
            self._shipped[id(fn)] = (fn, future)
        return self._shipped[id(fn)][1]


class _ByValue:
    """Pickles a function together with the code of its module, where that is the user's own."""

    def __init__(self, fn: Callable):
        import cloudpickle

        with _by_value(sys.modules.get(getattr(fn, "__module__", None) or "")):
            try:
                self._bytes = cloudpickle.dumps(fn)
            except Exception as error:  # whatever pickling raises
                raise ValueError(
                    f"the function {getattr(fn, '__name__', fn)!r} cannot be sent to the workers "
                    f"({type(error).__name__}: {error}); it must not hold open files, locks, "
                    "threads or TensorFlow objects."
                ) from error

    def __reduce__(self):
        import cloudpickle

        return cloudpickle.loads, (self._bytes,)


@contextlib.contextmanager
def _by_value(module):
    """Context in which functions of `module` are pickled with their code."""
    import cloudpickle

    installed = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    file = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "__main__")
    is_own = file and not any(Path(file).is_relative_to(place) for place in installed)
    if not is_own or name == "__main__":
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _make_call() -> Callable:
    """What runs on a worker. Defined inside a function, it is pickled with its code."""

    def call(fn, arrays, single):
        def safely(argument):
            try:
                return fn(argument), None
            except Exception as error:  # noqa: BLE001 - user code; told where the results are read
                return None, f"{type(error).__name__}: {error}"

        if not single:
            return safely(arrays)
        is_dict = isinstance(arrays, dict)
        count = len(next(iter(arrays.values()))) if is_dict else len(arrays)
        results = []
        for n in range(count):
            point = {name: each[n] for name, each in arrays.items()} if is_dict else arrays[n]
            value, error = safely(point)
            results.append(value if error is None else RuntimeError(error))
        return results, None

    return call


def _rows(arrays, start: int, stop: int):
    if isinstance(arrays, dict):
        return {name: each[start:stop] for name, each in arrays.items()}
    return arrays[start:stop]
