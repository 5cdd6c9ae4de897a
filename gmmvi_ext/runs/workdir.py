"""The folder of a run: claimed by one process at a time, never written over by another run."""

import datetime
import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import BASE, DEFAULT
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.confined import is_folder
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.loss import changed_settings
from gmmvi_ext.runs.reading import read_run
from gmmvi_ext.runs.trust import refuse_links
from gmmvi_ext.whole_files import make_folder, sweep

__all__ = ["WorkDir", "claim_folder", "folder_of_worker", "fresh_folder", "refuse_other_run"]

# What may differ when a run goes on: how long, on what, and what is written at the end.
_MAY_CHANGE = ("training", "parallel", "outputs", "gmmvi_runner_config")
_LOCK = ".lock"
_OWN_NAMES = (
    "config.yml",
    "run.json",
    "metrics.jsonl",
    "checkpoints",
    "posterior",
    "mixture.npz",
    "summary.md",
    "summary.json",
    "plots",
    "tensorboard",
)


def fresh_folder(parent: str, source: str) -> Path:
    """A folder that does not exist yet, named after a configuration and the time."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    base = Path(parent) / f"{Path(source).stem}-{stamp}"
    candidates = [base, *(base.with_name(f"{base.name}-{i}") for i in range(2, 100))]
    return next(path for path in candidates if not path.exists())


def folder_of_worker(path: str | Path, worker: int) -> Path:
    """The work directory of one of several processes; worker i > 0 has one of its own beside it."""
    path = Path(path)
    return path if worker == 0 else path.with_name(f"{path.name}-worker{worker}")


def claim_folder(
    folder: Path,
    inside: Sequence[str] = (),
    *,
    by: str = "process",
    allow_outside: bool = False,
) -> BinaryIO:
    """Makes a folder and locks it for this process until the file returned is closed.

    What killed processes left half written in it and in the folders below is removed.

    Args:
      folder: the value of --workdir.
      inside: names of folders to make in it.
      by: what another holder of the lock is called.
      allow_outside: follow links out of the folder.

    Raises:
      CommandError: it cannot be written, somebody else works in it, or it holds links out of it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        make_folder(folder)
        lock = os.fdopen(os.open(folder / _LOCK, flags, 0o644), "r+b", buffering=0)
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CommandError(
            f"--workdir {folder}: another {by} is working in it; wait for it or choose another "
            "folder."
        ) from None
    try:
        if not allow_outside:
            refuse_links(folder)
        for each in (folder, folder / "checkpoints", folder / "plots"):
            sweep(each)
        for name in inside:
            make_folder(folder / name)
    except OSError as error:
        lock.close()
        raise _unwritable(folder, error) from None
    except CommandError:
        lock.close()
        raise
    return lock


def _unwritable(folder: Path, error: Exception) -> CommandError:
    reason = getattr(error, "strerror", None) or error
    name = str(folder)
    if len(name) > 300 or not name.isprintable():
        name = repr(name)[:300]
    return CommandError(f"--workdir {name}: cannot be written ({reason}); choose another folder.")


class WorkDir:
    """A claimed work directory; use as a context.

    Attributes:
      path: the folder.
      holds_run: whether a run is in it already.
      allow_outside: whether links and files that lead out of it are followed.
    """

    def __init__(self, path: str | Path, *, allow_outside: bool = False):
        self.path = Path(path)
        self.allow_outside = allow_outside
        self._lock: Any = None
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
        self._created = [p for p in (self.path, *self.path.parents) if not is_folder(p)]
        try:
            self._lock = claim_folder(self.path, allow_outside=self.allow_outside)
        except CommandError:
            self._undo()
            raise
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

    def require_there(self) -> None:
        """Raises CommandError if the folder that was claimed is no longer at its path."""
        if self._lock is None or self._is_there():
            return
        raise CommandError(
            f"--workdir {self.path}: was removed or renamed while this process worked in it; what "
            "was written before is where the folder is now. Give the same command with that "
            "folder, or with a new one to start again."
        )

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._lock.fileno()), os.stat(self.path / _LOCK))
        except OSError:
            return False

    def __exit__(self, *_) -> None:
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            is_unused = self._is_there() and os.listdir(self.path) == [_LOCK]
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
            except (OSError, ValueError):
                break
        self._created = []


def refuse_other_run(
    config: Config,
    workdir: WorkDir,
    *,
    meant: Sequence[str] = (),
    by_default: bool = True,
    say: Callable[[str], object] = print,
) -> None:
    """Refuses to mix two runs in one folder.

    Args:
      config: what is asked for.
      workdir: claimed by this process.
      meant: dotted keys that are meant to change.
      by_default: whether values that nobody wrote count, too; not those of a configuration that is
        not complete yet.
      say: takes lines for the user.

    Raises:
      CommandError: the folder holds a run with another configuration, or its own was changed.
    """
    if not workdir.holds_run:
        return
    within = None if workdir.allow_outside else workdir.path
    earlier = load_config(workdir / "config.yml", needs_target=False, within=within)
    ignored = [*_MAY_CHANGE, *meant]
    if not by_default:
        ignored += [key for key in config.flat() if config.origin(key) in (DEFAULT, BASE)]
    differences = earlier.differences(config, ignore=ignored)
    if differences:
        shown = "; ".join(differences[:5]) + (" ..." if len(differences) > 5 else "")
        raise CommandError(
            f"--workdir {workdir.path}: holds another run, which differs in {shown}. Choose "
            "another folder, or give --resume and --set for each change that is meant."
        )
    record = read_run(workdir.path, allow_outside=workdir.allow_outside)
    changes = changed_settings(record, ignore=[*_MAY_CHANGE, *meant])
    if changes:
        shown = "; ".join(changes[:5]) + (" ..." if len(changes) > 5 else "")
        raise CommandError(
            f"--workdir {workdir.path}: config.yml was changed since the run wrote it: {shown}. "
            "Change it back, choose another folder, or give --resume and --set for each change "
            "that is meant."
        )
    for change in changed_settings(record, ignore=meant):
        say(f"note: config.yml was changed since the run wrote it: {change}")
