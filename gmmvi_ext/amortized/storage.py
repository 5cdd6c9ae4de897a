"""Folders of saved models: `vae.json` with settings and history, `weights.npz` with the numbers."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from gmmvi_ext.amortized.settings import VaeSettings
from gmmvi_ext.archives import DAMAGE, read_arrays
from gmmvi_ext.confined import no_folder, read_inside
from gmmvi_ext.whole_files import as_path, standing, whole_folder

__all__ = ["read_folder", "restore", "write_folder"]

FORMAT = 1
_SETTINGS, _WEIGHTS = "vae.json", "weights.npz"


def write_folder(
    path: str | Path, settings: VaeSettings, variables: Sequence[tf.Variable], rows: list[dict]
) -> Path:
    """Writes a model; an earlier one at `path` is replaced, anything else is not.

    Args:
      path: folder.
      settings: what the model was built from.
      variables: in their order.
      rows: figures of its training, plain data.

    Raises:
      FileExistsError: `path` holds something else.
      ValueError: see `VaeSettings.to_plain`.
    """
    folder = as_path(path)
    found = {each.name for each in folder.iterdir()} if folder.is_dir() else {""}
    if folder.exists() and found and (_SETTINGS not in found or found - {_SETTINGS, _WEIGHTS}):
        raise FileExistsError(f"{folder} exists and holds no saved VAE; give another path.")
    document = {"gmmvi_ext_vae": FORMAT, "settings": settings.to_plain(), "history": rows}
    text = json.dumps(document, indent=1)
    arrays = {f"variable_{number}": each.numpy() for number, each in enumerate(variables)}
    with whole_folder(folder) as temporary:
        (temporary / _SETTINGS).write_text(text + "\n")
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        (temporary / _WEIGHTS).write_bytes(buffer.getvalue())
    return folder


def read_folder(path: str | Path) -> tuple[VaeSettings, list[dict], dict[str, np.ndarray]]:
    """Settings, history and arrays of a saved model.

    Raises:
      FileNotFoundError: there is none.
      OSError: a file cannot be opened, or leads out of the folder.
      ValueError: files that are damaged; names the file.
    """
    folder = standing(as_path(path))
    if not (folder / _SETTINGS).is_file():
        why = no_folder(folder) or f"{folder} holds no saved VAE ({_SETTINGS} is missing)"
        raise FileNotFoundError(f"{why}.")
    try:
        document = json.loads(read_inside(folder / _SETTINGS, folder))
        if document.get("gmmvi_ext_vae") != FORMAT:
            raise ValueError(f"its format is {document.get('gmmvi_ext_vae')!r}, expected {FORMAT}.")
        settings = VaeSettings.from_plain(document["settings"])
        rows = list(document["history"])
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / _SETTINGS} cannot be read: {error}") from error
    try:
        arrays = read_arrays(folder / _WEIGHTS, inside=folder)
    except OSError:
        raise
    except DAMAGE as error:
        raise ValueError(f"{folder / _WEIGHTS} cannot be read as arrays ({error}).") from error
    return settings, rows, arrays


def restore(variables: Sequence[tf.Variable], arrays: dict[str, np.ndarray], where: str) -> None:
    """Assigns saved arrays to the variables of the model they were saved from.

    Args:
      variables: in their order.
      arrays: from `read_folder`.
      where: the folder, for messages.

    Raises:
      ValueError: number, shape or dtype of an array is another one; nothing is assigned then.
    """
    names = [f"variable_{number}" for number in range(len(variables))]
    if set(names) != set(arrays):
        raise ValueError(f"{where}: {_WEIGHTS} has {len(arrays)} arrays, the model {len(names)}.")
    for name, variable in zip(names, variables, strict=True):
        found, kind = arrays[name], variable.dtype.as_numpy_dtype
        if found.shape != tuple(variable.shape) or found.dtype != kind:
            raise ValueError(
                f"{where}: {name} is {found.dtype} {found.shape}, the model's {variable.name} "
                f"{variable.dtype.name} {tuple(variable.shape)}."
            )
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise ValueError(f"{where}: {name} ({variable.name}) holds NaN or infinite numbers.")
    for name, variable in zip(names, variables, strict=True):
        variable.assign(arrays[name])
