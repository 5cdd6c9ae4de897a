"""Files and folders that appear whole or not at all.

Both are written beside their place, under a name that nobody can guess and that must not exist yet
(no link is followed), and renamed at the end: whoever looks sees the old one or the new one. What a
killed process leaves there is recognised by its name; `sweep` removes it.
"""

import contextlib
import ctypes
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["standing", "sweep", "whole_file", "whole_folder", "write_whole"]

_PART, _FORMER = "part", "former"
_LEFTOVER = re.compile(
    r"\..*\.[0-9a-f]{16}\.part"
    # Of older versions and of TensorFlow's checkpoints.
    r"|\.(posterior|model)\.[a-z0-9_]{8}|ckpt-\d+_temp"
    r"|(config\.yml|(run|summary|sweep|target)\.json|metrics\.jsonl|summary\.md)\.tmp"
    r"|(results|summary)\.(csv|parquet)\.tmp|(mixture|final|start|gmm_\d+)\.tmp\.npz"
)
_AT_CWD, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


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
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(descriptor, mode, **options) as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, so that it is there completely or not at all."""
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """A folder to fill, at `folder` once the context is left; an error leaves nothing behind.

    What was at `folder` before is exchanged for it in one step where the file system can do so
    (Linux); else it stands beside it under another name for a moment, where `standing` finds it.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(folder, _PART)
    temporary.mkdir()
    try:
        yield temporary
        _put(temporary, folder)
    finally:
        _remove(temporary)


def standing(folder: str | Path) -> Path:
    """The folder, or the former one where a process was killed between taking and replacing it."""
    folder = Path(folder)
    if not os.path.lexists(folder):
        for former in sorted(folder.parent.glob(f".{_short(folder)}.*.{_FORMER}")):
            return former
    return folder


def sweep(folder: Path) -> list[str]:
    """Removes what killed processes left in a folder that is locked; returns the names."""
    removed = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = re.fullmatch(rf"\.(.*)\.[0-9a-f]{{16}}\.{_FORMER}", entry.name)
        if match and not os.path.lexists(folder / match[1]):
            os.replace(entry, folder / match[1])
        elif match or _LEFTOVER.fullmatch(entry.name):
            _remove(entry)
            removed.append(entry.name)
    return removed


def _beside(path: Path, kind: str) -> Path:
    return path.parent / f".{_short(path)}.{secrets.token_hex(8)}.{kind}"


def _short(path: Path) -> str:
    return path.name[:50]  # with what is added a name must not exceed 255 bytes


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
