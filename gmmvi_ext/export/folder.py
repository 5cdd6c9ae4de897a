"""Folders that appear whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["refuse_foreign", "written_whole"]


def refuse_foreign(folder: Path) -> None:
    """Raises FileExistsError where something lies that is not an export of ours."""
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / "export.json").exists()):
        return
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists and is not an export: choose another `path` or remove it."
        )


@contextlib.contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder to write to, moved to `folder` at the end; a failure leaves nothing behind.

    What was at `folder` before is replaced then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
