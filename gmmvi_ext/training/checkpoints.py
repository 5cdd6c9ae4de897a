"""Checkpoints: everything a run needs to go on bit for bit.

A checkpoint holds the variables of the algorithm and a JSON text with what the host knows (seconds
spent, state of the stop rules, version of this layout). TensorFlow writes under temporary names and
renames at the end, the index last: a file that is there is complete. One that cannot be read is
skipped for the one before it. What lies in the folder is all there is to know: no list of
checkpoints is kept, so none can name files elsewhere, be lost, or be damaged.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from gmmvi_ext.training.host_state import CheckpointError, is_like
from gmmvi_ext.training.loop import Clock

__all__ = [
    "DAMAGE",
    "HOST_KEY",
    "SCHEMA_VERSION",
    "CheckpointError",
    "Checkpoints",
    "checkpoint_path",
    "checkpoint_paths",
    "reason_of",
]

SCHEMA_VERSION = 1
_PREFIX = "ckpt"
# What TensorFlow raises on files that are cut, altered, or hold other variables.
DAMAGE = (tf.errors.OpError, AssertionError, LookupError, RuntimeError, ValueError)
_COUNTS = ("num_iterations", "num_target_evaluations", "num_nonfinite")
HOST_KEY = "host_state/.ATTRIBUTES/VARIABLE_VALUE"


class Checkpoints:
    """Saves and restores an algorithm, keeping the newest few.

    Args:
      folder: where they lie.
      algorithm: trackable object with the whole state in variables.
      max_to_keep: how many are kept.
      check: called after a restore; raises ValueError at a state that no run writes, and the
        checkpoint is passed over.
      **more: further trackable objects, by name.
    """

    def __init__(
        self,
        folder: str | Path,
        algorithm,
        *,
        max_to_keep: int = 3,
        check: Callable[[], object] | None = None,
        **more,
    ):
        self.folder = Path(folder)
        self._algorithm, self._check = algorithm, check
        self._host_state = tf.Variable("", dtype=tf.string, trainable=False, name="host_state")
        self._max_to_keep = max_to_keep
        self._checkpoint = tf.train.Checkpoint(
            algorithm=algorithm, host_state=self._host_state, **more
        )
        self.skipped: list[str] = []

    def save(self, iteration: int, host_state: dict) -> None:
        """Writes a checkpoint and deletes the oldest beyond `max_to_keep`.

        Raises:
          OSError: the folder cannot be written (disk full, read only); earlier ones stay.
        """
        text = json.dumps({"schema_version": SCHEMA_VERSION, **host_state})
        self._host_state.assign(text)
        if not self.folder.parent.is_dir():  # TensorFlow would make it again
            raise FileNotFoundError(2, "the folder is gone", str(self.folder.parent))
        try:
            self._checkpoint.write(str(self.folder / f"{_PREFIX}-{iteration}"))
        except tf.errors.OpError as error:
            reason = error.message.split("\n")[0]
            raise OSError(f"{self.folder}: the checkpoint cannot be written: {reason}") from error
        self._delete_oldest(iteration)

    def restore(self, iteration: int | None = None) -> dict | None:
        """Restores the newest readable checkpoint, or that of one iteration.

        Args:
          iteration: which one; None for the newest that can be read.

        Returns:
          its host state; None if the folder holds no checkpoint.

        Raises:
          CheckpointError: there are some and none can be used, or not the one asked for.
        """
        self.skipped = []
        paths = self.paths() if iteration is None else [checkpoint_path(self.folder, iteration)]
        for path in reversed(paths):
            try:
                return self._restore_one(path)
            except CheckpointError:
                raise
            except DAMAGE as error:
                self.skipped.append(f"{Path(path).name}: {reason_of(error)}")
        if paths:
            raise CheckpointError(
                f"{self.folder}: no checkpoint can be read; {'; '.join(self.skipped)}. "
                "Start afresh in another work directory."
            )
        return None

    def paths(self) -> list[str]:
        """Prefixes of the complete checkpoints, oldest first."""
        return checkpoint_paths(self.folder)

    def _restore_one(self, path: str) -> dict:
        text = tf.train.load_checkpoint(path).get_tensor(HOST_KEY)
        try:
            host_state = json.loads(text)
        except RecursionError as error:
            raise ValueError("its host state is nested too deeply") from error
        if not isinstance(host_state, dict):
            raise ValueError("its host state is no object")
        version = host_state.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise CheckpointError(
                f"{path}: written with checkpoint layout {version}, this version reads "
                f"{SCHEMA_VERSION}; use the version of gmmvi_ext that wrote it (see run.json)."
            )
        clock = host_state.get("clock", {})
        known = dataclasses.asdict(Clock())
        if not isinstance(clock, dict) or not all(
            key in known and value is not None and is_like(value, 0.0)
            for key, value in clock.items()
        ):
            raise ValueError(f"its clock cannot be read: {clock!r:.80}")
        self._checkpoint.read(path).assert_existing_objects_matched()
        self._refuse_counts(path)
        if self._check is not None:
            self._check()
        return host_state

    def _refuse_counts(self, path: str) -> None:
        """Refuses counts of work that is not that of the file's name, or less than nothing."""
        for name in _COUNTS:
            count = getattr(self._algorithm, name, None)
            if count is None:
                continue
            count = int(count)
            if count < 0:
                raise ValueError(f"{name} is {count}")
            if name == "num_iterations" and not path.endswith(f"{_PREFIX}-{count}"):
                raise ValueError(f"holds iteration {count}")

    def _delete_oldest(self, newest: int) -> None:
        """Deletes beyond `max_to_keep`, the index first: without it a checkpoint does not count."""
        paths = [path for path in self.paths() if not path.endswith(f"{_PREFIX}-{newest}")]
        for path in paths[: max(0, len(paths) + 1 - self._max_to_keep)]:
            name = Path(path).name
            parts = self.folder.glob(f"{name}.data-?????-of-?????")
            for file in (self.folder / f"{name}.index", *parts):
                with contextlib.suppress(OSError):  # what cannot be deleted stays
                    file.unlink()


def reason_of(error: Exception) -> str:
    """Why a checkpoint was passed over, in one line, without the names of TensorFlow's nodes."""
    text = re.sub(r"\{\{[^}]*\}\}", "", str(getattr(error, "message", error)))
    return " ".join(text.split())[:200].rstrip(".")


def checkpoint_paths(folder: Path) -> list[str]:
    found = {}
    for index in folder.glob(f"{_PREFIX}-*.index"):
        match = re.fullmatch(rf"{_PREFIX}-(\d+)", index.stem)
        if match:
            found[int(match.group(1))] = str(index.with_suffix(""))
    return [found[number] for number in sorted(found)]


def checkpoint_path(folder: Path, iteration: int) -> str:
    paths = checkpoint_paths(folder)
    for path in paths:
        if path.endswith(f"{_PREFIX}-{iteration}"):
            return path
    there = ", ".join(path.rpartition("-")[2] for path in paths) or "none"
    raise CheckpointError(f"{folder}: no checkpoint of iteration {iteration}; there are: {there}.")
