"""The folder of a run: claimed by one process at a time, never written over by another run."""

import fcntl
import os
from pathlib import Path

from gmmvi_ext.cli.errors import CommandError

__all__ = ["WorkDir"]

_LOCK = ".lock"
_OWN_NAMES = (
    "config.yml", "run.json", "metrics.jsonl", "checkpoints", "posterior", "mixture.npz",
    "summary.md", "summary.json", "plots", "tensorboard",
)  # fmt: skip


class WorkDir:
    """A claimed work directory; use as a context.

    Attributes:
      path: the folder.
      holds_run: whether a run is in it already.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = None
        self._created: list[Path] = []

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def holds_run(self) -> bool:
        return (self.path / "config.yml").is_file()

    def __enter__(self) -> "WorkDir":
        """Creates the folder and locks it.

        Raises:
          CommandError: it cannot be written, another process works in it, or it holds files of the
            names a run writes that are not from a run.
        """
        try:
            self._make()
            self._lock = open(self.path / _LOCK, "a")  # noqa: SIM115 - held open as a lock
        except OSError as error:
            self._undo()
            reason = error.strerror or error
            raise CommandError(
                f"--workdir {self.path}: cannot be written ({reason}); choose another folder."
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise CommandError(
                f"--workdir {self.path}: another process is working in it; wait for it or choose "
                "another folder."
            ) from None
        foreign = [] if self.holds_run else [n for n in _OWN_NAMES if (self.path / n).exists()]
        if foreign:
            (self.path / _LOCK).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
            raise CommandError(
                f"--workdir {self.path}: holds {', '.join(foreign)} but no config.yml of a run; "
                "choose an empty or new folder."
            )
        return self

    def __exit__(self, *_) -> None:
        self._release()

    def _make(self) -> None:
        missing = [p for p in (self.path, *self.path.parents) if not p.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        self._created = missing

    def _release(self) -> None:
        if self._lock is not None:
            is_unused = not any(entry.name != _LOCK for entry in os.scandir(self.path))
            if is_unused:
                (self.path / _LOCK).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
            if is_unused:
                self._undo()

    def _undo(self) -> None:
        """Removes the folders that were created and stayed empty."""
        for folder in self._created:
            try:
                folder.rmdir()
            except OSError:
                break
        self._created = []
