"""Where rows of metrics go: JSON lines always, TensorBoard where it is installed."""

import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from gmmvi_ext.confined import OutsideError, open_inside, open_plain
from gmmvi_ext.ranges import Count, checked
from gmmvi_ext.whole_files import own_file, write_whole

__all__ = [
    "MAX_DRAWN",
    "JsonlWriter",
    "MetricWriter",
    "TensorBoardWriter",
    "finite",
    "last_row",
    "read_metrics",
    "truncate_metrics",
    "write_json",
]

MAX_DRAWN = 20_000  # rows of which a picture is made
MAX_ROW = 2**20  # bytes of a row; longer ones are none of ours
MAX_METRICS = 2**32  # bytes of a file of metrics
_BLOCK_BYTES = 2**16


class MetricWriter(Protocol):
    """Takes rows, one after the other.

    Example:
        >>> from gmmvi_ext.training import Limits, MetricWriter, train
        >>> class Memory:
        ...     def __init__(self):
        ...         self.rows = []
        ...     def write(self, row):
        ...         self.rows.append(row)
        ...     def close(self):
        ...         pass
        >>> class Halving(tf.Module):
        ...     num_target_evaluations = num_nonfinite = num_iterations = 0
        ...     def step(self):
        ...         self.num_iterations += 1
        ...         return {"num_components": 1}
        >>> memory: MetricWriter = Memory()
        >>> result = train(Halving(), limits=Limits(6), log_interval=2, writers=[memory])
        >>> [row["iteration"] for row in memory.rows]
        [1, 2, 4, 6]
    """

    def write(self, row: dict) -> None:
        """Keeps `row`; `iteration` is one of its keys."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class JsonlWriter:
    """Appends one JSON object a line and flushes it; what is not finite becomes null.

    Example:
        >>> from gmmvi_ext.training import JsonlWriter, read_metrics
        >>> writer = JsonlWriter("metrics.jsonl")
        >>> writer.write({"iteration": 1, "elbo": -3.5})
        >>> writer.write({"iteration": 2, "elbo": float("nan")})
        >>> writer.close()
        >>> read_metrics("metrics.jsonl")
        [{'iteration': 1, 'elbo': -3.5}, {'iteration': 2, 'elbo': None}]
    """

    def __init__(self, path: str | Path):
        own_file(path)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def write(self, row: dict) -> None:
        self._file.write(json.dumps(finite(row), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoardWriter:
    """Rows as scalars, PNG files as images of TensorBoard; needs the extra `tensorboard`.

    Example:
        >>> import pathlib, tensorboard
        >>> from gmmvi_ext.training import TensorBoardWriter
        >>> writer = TensorBoardWriter("logs")
        >>> writer.write({"iteration": 1, "elbo": -3.5})
        >>> writer.close()
        >>> len(list(pathlib.Path("logs").glob("events.out.tfevents.*")))
        1
    """

    def __init__(self, folder: str | Path):
        import tensorflow as tf

        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, row: dict) -> None:
        with self._writer.as_default(step=int(row["iteration"])):
            for name, value in row.items():
                if isinstance(value, int | float) and name != "iteration":
                    self._summary.scalar(name, float(value))

    def write_figures(self, paths: Sequence[Path], step: int) -> None:
        """PNG files as images `NAME_figure` of the iteration `step`."""
        import tensorflow as tf

        with self._writer.as_default(step=step):
            for path in paths:
                image = tf.io.decode_png(Path(path).read_bytes(), channels=3)
                self._summary.image(f"{Path(path).stem}_figure", image[tf.newaxis])

    def close(self) -> None:
        self._writer.close()


@checked
def read_metrics(
    path: str | Path,
    *,
    most: Count | None = None,
    inside: str | Path | None = None,
) -> list[dict]:
    """Rows of a `metrics.jsonl`; lines that are damaged or half written are left out.

    Args:
      path: the file; no rows where there is none.
      most: of more lines, only so many are read, evenly, and the last one.
      inside: folder that the file must not lead out of.

    Raises:
      OSError: the file cannot be opened, is no file, is too large, or leads out of the folder.

    Example:
        >>> import pathlib
        >>> from gmmvi_ext.training import read_metrics
        >>> file = pathlib.Path("metrics.jsonl")
        >>> length = file.write_text('{"iteration": 1}' + chr(10) + '{"itera')  # killed
        >>> read_metrics("metrics.jsonl")
        [{'iteration': 1}]
    """
    try:
        file = open_inside(path, inside)
    except FileNotFoundError:
        return []
    with file:
        _size_of(file, path)
        if most is None:
            rows = map(_row, _lines(file))
        else:
            count = sum(1 for _ in _lines(file))
            step = max(1, -(-count // most))
            chosen = (n % step == 0 or n == count - 1 for n in range(count))
            rows = map(_row, itertools.compress(_lines(file), chosen))
        return [row for row in rows if row is not None]


def _size_of(file: BinaryIO, path: str | Path) -> int:
    size = file.seek(0, os.SEEK_END)
    if size > MAX_METRICS:
        raise OutsideError(f"{path} is larger than {MAX_METRICS:,} bytes.")
    return size


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines from the start, longer ones in parts."""
    file.seek(0)
    return iter(lambda: file.readline(MAX_ROW), b"")


@checked
def truncate_metrics(path: str | Path, keep: Callable[[dict], bool]) -> None:
    """Cuts off the rows at the end that `keep` does not accept, in one step.

    Rows stand in the order of their iterations: what is before the last one that is kept, stays.
    So a session of a run with a million rows reads those alone that it writes again.

    Example:
        >>> from gmmvi_ext.training import JsonlWriter, read_metrics, truncate_metrics
        >>> writer = JsonlWriter("metrics.jsonl")
        >>> for iteration in (10, 20, 30):
        ...     writer.write({"iteration": iteration})
        >>> writer.close()
        >>> truncate_metrics("metrics.jsonl", keep=lambda row: row["iteration"] <= 20)
        >>> read_metrics("metrics.jsonl")[-1]
        {'iteration': 20}
    """
    try:
        file = open_plain(path)
    except FileNotFoundError:
        Path(path).touch()
        return
    with file:
        end = size = _size_of(file, path)
        for start, line in _lines_backwards(file, size):
            row = _row(line) if line.endswith(b"\n") else None
            if row is not None and keep(row):
                break
            end = start
    if end < size:
        own_file(path)
        os.truncate(path, end)


def last_row(path: str | Path) -> dict | None:
    """The last row that can be read; None if there is none."""
    try:
        with open_plain(path) as file:
            lines = _lines_backwards(file, _size_of(file, path))
            return next((row for row in (_row(line) for _, line in lines) if row is not None), None)
    except OSError:
        return None


def _lines_backwards(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Where each line starts, and the line (a part of one that is too long), the last one first."""
    data, begin, end = b"", size, size  # `data` is what the file holds from `begin` on
    while end > 0:
        cut, block = data.rfind(b"\n", 0, end - begin - 1), _BLOCK_BYTES
        while cut < 0 and begin > 0:
            data, before = data[: end - begin], max(0, begin - block)
            file.seek(before)
            data = file.read(begin - before) + data[:MAX_ROW]
            begin, block = before, min(2 * block, MAX_ROW)
            cut = data.rfind(b"\n", 0, end - begin - 1)
        start = begin + cut + 1
        yield start, data[start - begin : end - begin]
        end = start


def _row(line: bytes) -> dict | None:
    """The row of a line; None for one that is damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_row = isinstance(row, dict) and type(row.get("iteration")) is int
    return row if is_row else None


def write_json(path: str | Path, record: dict) -> None:
    """Writes an object as JSON, atomically; what is not finite becomes null."""
    write_whole(path, json.dumps(finite(record), indent=1) + "\n")


def finite(value):
    """Plain data as JSON holds them: what is not finite becomes null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
