"""An export replaces an export, and nothing else."""

import shutil
from pathlib import Path

import tensorflow as tf

__all__ = ["refuse_foreign", "remove_damaged", "write_model"]

_NAMES = {
    *("assets", "export.json", "fingerprint.pb", "mixture.npz", "posterior.json"),
    *("saved_model.pb", "variables"),
}


def refuse_foreign(folder: Path) -> None:
    """Raises FileExistsError where something lies that is not an export of ours, or beside it."""
    if not folder.exists():
        return
    found = {each.name for each in folder.iterdir()} if folder.is_dir() else {""}
    if found and "export.json" not in found:
        raise FileExistsError(
            f"{folder} exists and is not an export: choose another `path` or remove it."
        )
    foreign = sorted(found - _NAMES)
    if foreign:
        shown = ", ".join(foreign[:5])
        raise FileExistsError(
            f"{folder} holds {shown} beside an export, which would be lost: choose another `path` "
            "or move that away."
        )


def remove_damaged(folder: Path) -> None:
    """Removes what is left of an export in the work directory that it belongs to."""
    is_export = folder.is_dir() and {path.name for path in folder.iterdir()} <= _NAMES
    if is_export and not (folder / "export.json").exists():
        shutil.rmtree(folder)


def write_model(module, folder: Path, *, custom_gradients: bool) -> None:
    """Writes a module with its signatures as a SavedModel.

    Args:
      module: has `signatures()`.
      folder: exists.
      custom_gradients: whether gradients that functions bring along are written, too.

    Raises:
      OSError: the folder cannot be written (disk full), which TensorFlow reports like a lack of
        memory.
    """
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=custom_gradients)
    try:
        tf.saved_model.save(module, str(folder), module.signatures(), options=options)
    except tf.errors.OpError as error:
        text = error.message.split("\n")[0]
        if "OOM" in text:
            raise
        reason = text.rpartition("; ")[2]
        raise OSError(f"{folder.parent}: the model cannot be written: {reason}") from error
