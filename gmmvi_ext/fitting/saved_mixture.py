"""The mixture of a checkpoint, read by the names of its arrays."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.coordinate_map import AnyMap
from gmmvi_ext.fitting.stages.coordinates import saved_map
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.posterior.stored_mixture import FAMILIES, checked_mixture
from gmmvi_ext.training.checkpoints import (
    DAMAGE,
    HOST_KEY,
    CheckpointError,
    checkpoint_path,
    checkpoint_paths,
    reason_of,
)

__all__ = ["read_mixture"]

_MODEL_KEY = "algorithm/model/{}/.ATTRIBUTES/VARIABLE_VALUE"


def read_mixture(
    folder: str | Path, iteration: int | None = None
) -> tuple[Mixture, int, AnyMap | None]:
    """The mixture of a checkpoint, read by the names of its arrays: no algorithm, no target.

    Args:
      folder: where checkpoints lie.
      iteration: which one; None for the newest that can be read.

    Returns:
      mixture, the iteration, and the map to the unconstrained space that was learned, if any.

    Raises:
      CheckpointError: there is none, or none can be read.
    """
    paths = (
        checkpoint_paths(Path(folder))
        if iteration is None
        else [checkpoint_path(Path(folder), iteration)]
    )
    problems = []
    for path in reversed(paths):
        try:
            reader = tf.train.load_checkpoint(path)
            shapes = reader.get_variable_to_shape_map()
            for family, kind in FAMILIES.items():
                keys = {name: _MODEL_KEY.format(name) for name in ("log_weights", *kind._fields)}
                if all(key in shapes for key in keys.values()):
                    arrays = {name: reader.get_tensor(key) for name, key in keys.items()}
                    if "scale_tril" in arrays:
                        arrays["scale_tril"] = np.tril(arrays["scale_tril"])
                    mixture = checked_mixture(arrays, family, arrays["loc"].dtype.name)
                    found = saved_map(json.loads(reader.get_tensor(HOST_KEY)))
                    return mixture, int(path.rpartition("-")[2]), found
            problems.append(f"{Path(path).name}: holds no Gaussian mixture")
        except (*DAMAGE, TypeError) as error:
            problems.append(f"{Path(path).name}: {reason_of(error)}")
    reason = "; ".join(problems) or "there is none"
    raise CheckpointError(f"{folder}: no checkpoint can be read; {reason}.")
