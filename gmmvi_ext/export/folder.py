"""An export replaces an export, and nothing else."""

import shutil
from pathlib import Path

__all__ = ["refuse_foreign", "remove_damaged"]

_NAMES = {
    *("assets", "export.json", "fingerprint.pb", "mixture.npz", "posterior.json"),
    *("saved_model.pb", "variables"),
}


def refuse_foreign(folder: Path) -> None:
    """Raises FileExistsError where something lies that is not an export of ours."""
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / "export.json").exists()):
        return
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists and is not an export: choose another `path` or remove it."
        )


def remove_damaged(folder: Path) -> None:
    """Removes what is left of an export in the work directory that it belongs to."""
    is_export = folder.is_dir() and {path.name for path in folder.iterdir()} <= _NAMES
    if is_export and not (folder / "export.json").exists():
        shutil.rmtree(folder)
