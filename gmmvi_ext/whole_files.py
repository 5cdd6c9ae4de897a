"""Files and folders that appear whole or not at all.

Both are written beside their place, under a name that nobody can guess and that must not exist yet
(no link is followed), and renamed at the end: whoever looks sees the old one or the new one. What a
killed process leaves there is recognized by its name; `sweep` removes it in a folder that is
locked, `sweep_beside` what is of one name, and of no process that lives.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gmmvi_ext.confined import no_folder

__all__ = [
    "as_path",
    "make_folder",
    "own_file",
    "standing",
    "sweep",
    "sweep_beside",
    "whole_file",
    "whole_folder",
    "write_whole",
]

_PART, _FORMER = "part", "former"
_LEFTOVER = re.compile(
    r"\..*\.[0-9a-f]{16}\.part"
    # Of older versions and of TensorFlow's checkpoints.
    r"|\.(posterior|model)\.[a-z0-9_]{8}|ckpt-\d+_temp"
    r"|(config\.yml|(run|summary|sweep|target)\.json|metrics\.jsonl|summary\.md)\.tmp"
    r"|(results|summary)\.(csv|parquet)\.tmp|(mixture|final|start|gmm_\d+)\.tmp\.npz"
)
_LONGEST = 180  # bytes of a name; with what is added it must not exceed 255
_SHORTENED = r"~[0-9a-f]{8}$"
_AT_CWD, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def as_path(value, name: str = "path") -> Path:
    """The path that a user gave.

    Raises:
      ValueError: it is none; an empty one would be the current folder.
    """
    is_path = isinstance(value, str | os.PathLike) and str(value).strip() != ""
    if not is_path or "\0" in str(value):
        raise ValueError(f"`{name}` must be the path of a file or folder, got {value!r}.")
    return Path(value)


def make_folder(path: str | Path) -> None:
    """Makes a folder, and those above it, where there is none.

    Raises:
      NotADirectoryError: something else stands there, or above it; says what.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(errno.ENOTDIR, no_folder(path), str(path)) from error


@contextlib.contextmanager
def whole_file(path: str | Path, mode: str = "wb", **options) -> Iterator[IO]:
    """A file to write to, at `path` once the context is left; an error leaves nothing behind.

    Args:
      path: in an existing folder; a link there is replaced, not followed.
      mode: `wb` or `w`.
      **options: of `open`.
    """
    path = Path(path)
    temporary = _beside(path, _PART)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _errors_of(path):
        descriptor = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(descriptor, mode, **options) as file:
            _locked(descriptor)
            yield file
        with _errors_of(path):
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, so that it is there completely or not at all."""
    with whole_file(path) as file:
        if isinstance(content, str):
            content = content.encode(errors="backslashreplace")  # names of files need not be text
        file.write(content)


def own_file(path: str | Path) -> None:
    """Replaces a file by a copy where another name leads to it, too, before it is changed in place.

    A folder that was unpacked or copied with hard links shares its files with other folders.
    """
    path = Path(path)
    if os.path.lexists(path) and path.stat().st_nlink > 1:
        with open(path, "rb") as former, whole_file(path) as file:
            shutil.copyfileobj(former, file)


@contextlib.contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """A folder to fill, at `folder` once the context is left; an error leaves nothing behind.

    What was at `folder` before is exchanged for it in one step where the file system can do so
    (Linux); else it stands beside it under another name for a moment, where `standing` finds it.
    """
    folder = Path(folder)
    with _errors_of(folder):
        make_folder(folder.parent)
        sweep_beside(folder)
        temporary, descriptor = _claimed(folder)
    try:
        yield temporary
        with _errors_of(folder):
            _put(temporary, folder)
    finally:
        os.close(descriptor)
        _remove(temporary)
    sweep_beside(folder)


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Errors name the place that was asked for, not what stands beside it or above."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def standing(folder: str | Path) -> Path:
    """The folder, or the former one where a process was killed between taking and replacing it."""
    folder = Path(folder)
    if not os.path.lexists(folder):
        for former in _all_beside(folder, _FORMER):
            return former
    return folder


def sweep(folder: Path) -> list[str]:
    """Removes what killed processes left in a folder that is locked; returns the names."""
    removed = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = re.fullmatch(rf"\.(.*)\.[0-9a-f]{{16}}\.{_FORMER}", entry.name)
        if match and not os.path.lexists(folder / match[1]):
            if not re.search(_SHORTENED, match[1]):  # else `standing` finds it
                os.replace(entry, folder / match[1])
        elif match or _LEFTOVER.fullmatch(entry.name):
            _remove(entry)
            removed.append(entry.name)
    return removed


def sweep_beside(path: str | Path) -> list[str]:
    """Removes what killed processes left of one file or folder; returns the names.

    Nothing of a process that lives is touched, nor the former folder while there is no other one.
    """
    path = Path(path)
    dead = [each for each in _all_beside(path, _PART) if _is_dead(each)]
    if os.path.lexists(path):
        dead += _all_beside(path, _FORMER)
    for each in dead:
        _remove(each)
    return [each.name for each in dead]


def _all_beside(path: Path, kind: str) -> list[Path]:
    """What stands beside a path under the names that `_beside` gives."""
    wanted = re.compile(rf"\.{re.escape(_short(path))}\.[0-9a-f]{{16}}\.{kind}")
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return []
    return [path.parent / name for name in names if wanted.fullmatch(name)]


def _claimed(folder: Path) -> tuple[Path, int]:
    """A new folder beside another one, and the descriptor that says that its maker lives."""
    while True:
        temporary = _beside(folder, _PART)
        temporary.mkdir()
        try:
            descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # swept before it could be claimed
            continue
        if _locked(descriptor) is not False and temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Locks a file or folder; False where another one holds it, None where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_dead(part: Path) -> bool:
    """Whether nobody writes to what stands beside a place."""
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _locked(descriptor) is True
    finally:
        os.close(descriptor)


def _beside(path: Path, kind: str) -> Path:
    return path.parent / f".{_short(path)}.{secrets.token_hex(8)}.{kind}"


def _short(path: Path) -> str:
    """The name, shortened where there is no room for more."""
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST:
        return path.name
    return f"{path.name[:30]}~{hashlib.sha256(name).hexdigest()[:8]}"


def _put(new: Path, folder: Path) -> None:
    if not os.path.lexists(folder):
        os.rename(new, folder)
    elif not _exchanged(new, folder):
        former = _beside(folder, _FORMER)
        os.rename(folder, former)
        os.rename(new, folder)
        _remove(former)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether both have changed places; False where the system cannot do that."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return rename(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE) == 0


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
