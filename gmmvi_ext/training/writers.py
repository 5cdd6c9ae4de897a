"""Where rows of metrics go: JSON lines always, TensorBoard where it is installed."""

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

__all__ = [
    "JsonlWriter",
    "MetricWriter",
    "TensorBoardWriter",
    "read_metrics",
    "truncate_metrics",
    "write_atomically",
    "write_json",
]


class MetricWriter(Protocol):
    """Takes rows, one after the other."""

    def write(self, row: dict) -> None:
        """Keeps `row`; `iteration` is one of its keys."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class JsonlWriter:
    """Appends one JSON object a line and flushes it; what is not finite becomes null."""

    def __init__(self, path: str | Path):
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def write(self, row: dict) -> None:
        self._file.write(json.dumps(_finite(row), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoardWriter:
    """Rows as scalars, PNG files as images of TensorBoard; needs the extra `tensorboard`."""

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


def read_metrics(path: str | Path) -> list[dict]:
    """Rows of a `metrics.jsonl`; a half-written last line is left out."""
    rows: list[dict] = []
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return rows
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and isinstance(row.get("iteration"), int):
            rows.append(row)
    return rows


def truncate_metrics(path: str | Path, keep: Callable[[dict], bool]) -> None:
    """Rewrites the file with the rows that `keep` accepts, in one atomic step."""
    rows = [row for row in read_metrics(path) if keep(row)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_atomically(path, text)


def write_atomically(path: str | Path, text: str) -> None:
    """Writes a text file so that it is there completely or not at all."""
    temporary = Path(f"{path}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_json(path: str | Path, record: dict) -> None:
    """Writes an object as JSON, atomically; what is not finite becomes null."""
    write_atomically(path, json.dumps(_finite(record), indent=1) + "\n")


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
