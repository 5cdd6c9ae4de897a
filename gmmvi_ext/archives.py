"""npz archives of somebody else: no pickles, no more arrays than the size of the file allows."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gmmvi_ext.confined import open_inside

__all__ = ["DAMAGE", "read_arrays"]

MAX_COMPRESSION = 200.0  # our files are not compressed; what expands more is none of them
# What NumPy raises at npz files that are cut, altered, or of another kind.
DAMAGE = (
    *(OSError, ValueError, LookupError, EOFError, MemoryError, OverflowError, RuntimeError),
    *(TypeError, struct.error, zipfile.BadZipFile, zlib.error),
)


def read_arrays(
    path: str | Path, names: Sequence[str] | None = None, *, inside: str | Path | None
) -> dict[str, np.ndarray]:
    """Arrays of an npz file.

    Args:
      path: the file.
      names: which; None for all. Those that it lacks are left out.
      inside: folder that the file must not lead out of; None for wherever it leads.

    Raises:
      OSError: the file cannot be opened, or leads out of the folder.
      DAMAGE: any of these: it is damaged, or expands too much.
    """
    with open_inside(path, inside) as file:
        content = file.read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(each.file_size for each in archive.infolist())
    if size > MAX_COMPRESSION * max(len(content), 2**16):
        raise ValueError(f"{len(content):,} bytes that expand to {size:,}")
    with np.load(io.BytesIO(content), allow_pickle=False) as opened:
        return {name: opened[name] for name in opened.files if names is None or name in names}
