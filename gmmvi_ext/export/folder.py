"""An export replaces an export, and nothing else."""

from pathlib import Path

__all__ = ["refuse_foreign"]


def refuse_foreign(folder: Path) -> None:
    """Raises FileExistsError where something lies that is not an export of ours."""
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / "export.json").exists()):
        return
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists and is not an export: choose another `path` or remove it."
        )
