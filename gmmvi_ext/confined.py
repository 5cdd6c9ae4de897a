"""Reading a folder of somebody else: nothing outside it is opened, nothing but files is read."""

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "OutsideError",
    "is_file",
    "is_folder",
    "is_inside",
    "leading_out",
    "no_folder",
    "open_inside",
    "open_plain",
    "printable",
    "read_inside",
    "read_json",
    "sort_of",
    "try_json",
]

MAX_BYTES = 64 * 2**20  # of a file that is read at once
# Control characters, which a terminal obeys, and halves of surrogates, which it cannot show.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


class OutsideError(OSError):
    """A file of a folder is a link out of it, or no file at all; the message says which."""


def printable(text: str) -> str:
    """A text of somebody else without what a terminal would obey; line feeds and tabs stay."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def is_file(path: str | Path) -> bool:
    """Whether a path is a file; a name that is too long, or no name, is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | Path) -> bool:
    """Whether a path is a folder; a name that is too long, or no name, is none."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def sort_of(path: str | Path) -> str:
    """What there is at a path, in words; empty where there is nothing."""
    path = Path(path)
    if is_folder(path) or is_file(path):
        return "a folder" if is_folder(path) else "a file"
    if not os.path.lexists(path):
        return ""
    return "a pipe, socket or device" if path.exists() else "a link that leads nowhere"


def no_folder(path: str | Path) -> str:
    """Why a path is no folder: what stands there, or above it; empty where it is one."""
    for each in (Path(path), *Path(path).parents):
        sort = sort_of(each)
        if sort == "a folder":
            break
        if sort:
            return printable(f"{str(each)[:300]} is {sort}, expected a folder")
    return "" if is_folder(path) else printable(f"{str(path)[:300]}: no such folder")


def is_inside(path: str | Path, folder: str | Path) -> bool:
    """Whether a path, its links followed, lies in a folder; a loop of links does not."""
    try:
        return Path(path).resolve(strict=False).is_relative_to(Path(folder).resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def leading_out(folder: str | Path) -> Iterator[str]:
    """What in a folder a stranger could have put there to reach beyond it, each in words."""
    for place, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            path = Path(place) / name
            if path.is_symlink():
                if not is_inside(path, folder):
                    yield printable(f"{path} is a link to {os.readlink(path)}")
            elif not (path.is_file() or path.is_dir()):
                yield printable(f"{path} is neither a file nor a folder")


def open_plain(path: str | Path) -> BinaryIO:
    """A file opened for reading, without waiting for what is no file (a pipe, a device).

    Raises:
      OutsideError: it is no file.
      OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory", str(path))
        raise OutsideError(f"{path} is no file.")
    return os.fdopen(descriptor, "rb")


def open_inside(path: str | Path, folder: str | Path | None) -> BinaryIO:
    """A file of a folder opened for reading; with folder None wherever it leads.

    Raises:
      OutsideError: it leads out of the folder, or is no file.
      OSError: it cannot be opened.
    """
    if folder is not None and not is_inside(path, folder):
        raise OutsideError(f"{path} leads out of {folder}.")
    return open_plain(path)


def read_inside(path: str | Path, folder: str | Path | None, limit: int = MAX_BYTES) -> bytes:
    """Content of a file of a folder; with folder None wherever it leads.

    Raises:
      OutsideError: it leads out of the folder, is no file, or is larger than `limit` bytes.
      OSError: it cannot be opened.
    """
    with open_inside(path, folder) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OutsideError(f"{path} is larger than {limit:,} bytes.")
    return content


def read_json(path: str | Path, folder: str | Path | None) -> dict | None:
    """The object of a JSON file of a folder, see `read_inside`; None if it cannot be read."""
    return try_json(path, folder)[0]


def try_json(path: str | Path, folder: str | Path | None) -> tuple[dict | None, str]:
    """The object of a JSON file of a folder, or None and why; no reason where there is no file."""
    try:
        value = json.loads(read_inside(path, folder))
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, printable(f"{path}: {error.strerror or error}")
    except (ValueError, RecursionError) as error:
        return None, printable(f"{path} is damaged, it cannot be read as JSON: {error}")
    if isinstance(value, dict):
        return value, ""
    return None, printable(f"{path} is damaged, it holds no JSON object")
