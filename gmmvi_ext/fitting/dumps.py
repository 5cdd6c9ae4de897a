"""The mixture on its way, as plain arrays: one file an iteration at first, then every fiftieth."""

import json
import time
from pathlib import Path

import numpy as np

from gmmvi_ext.gaussians import component_covariances
from gmmvi_ext.whole_files import make_folder, whole_file

__all__ = ["MixtureDumps"]

_EVERY_UNTIL = 100
_THEN_EVERY = 50


class MixtureDumps:
    """Writes `gmm_ITERATION.npz` with the keys of the reference's dumps.

    Keys: `weights` [K], `means` [K, D], `covs` [K, D, D], `timestamps` (seconds since 1970) and
    `fevals` (target evaluations so far). Iterations below 100 are written, then every fiftieth.
    Of a mixture in learned coordinates also `coordinate_map`, JSON text of
    `constraints.coordinate_map`: it leads from the space of the arrays to the unconstrained one.

    Args:
      folder: made if absent.
      model: has `mixture()`.
      target: what is fitted, perhaps in learned coordinates.
    """

    def __init__(self, folder: str | Path, model, target=None):
        self._folder = Path(folder)
        self._model, self._target = model, target
        make_folder(self._folder)

    def __call__(self, row: dict) -> None:
        """An observer of training: writes the mixture if it is the turn of this iteration."""
        iteration = row["iteration"]
        if iteration >= _EVERY_UNTIL and iteration % _THEN_EVERY:
            return
        mixture = self._model.mixture()
        path = self._folder / f"gmm_{iteration:06d}.npz"
        found = getattr(self._target, "coordinate_map", None)
        more = {} if found is None else {"coordinate_map": json.dumps(found.spec())}
        with whole_file(path) as file:
            np.savez(
                file,
                weights=np.exp(np.asarray(mixture.log_weights)),
                means=np.asarray(mixture.components.loc),
                covs=np.asarray(component_covariances(mixture.components)),
                timestamps=np.float64(time.time()),
                fevals=np.int64(row["num_target_evaluations"]),
                **more,
            )
