"""Distance of the mixture to given samples of the target, as a figure of each row of metrics."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from gmmvi_ext.divergences.mmd import Mmd
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.random import stream
from gmmvi_ext.targets.mapped import in_own_coordinates

__all__ = ["SampleDistance"]

NUM_SAMPLES = 2000


class SampleDistance:
    """Squared maximum mean discrepancy between fresh draws and the samples of a file.

    Args:
      model: has `mixture()`.
      path: `.npy` file with samples [M, D] in the unconstrained space.
      alpha: factor of the kernel's bandwidth.
      seed: integer.
      target: what is fitted; its learned coordinates, if it comes to have them, are those of the
        mixture. None for coordinates that stay as they are.

    Raises:
      ValueError: the file holds something else.
      OSError: it cannot be read.
    """

    def __init__(self, model, path: str | Path, *, alpha: float, seed: int = 0, target=None):
        samples = _read(Path(path))
        dimensions = int(model.num_dimensions)
        if samples.ndim != 2 or samples.shape[1] != dimensions or samples.shape[0] < 2:
            raise ValueError(
                f"{path} holds an array of shape {list(samples.shape)}, expected samples "
                f"[M, {dimensions}]."
            )
        if not np.isfinite(samples).all():
            raise ValueError(f"{path} holds values that are not finite.")
        self._model, self._target = model, target
        self._distance = Mmd(samples, alpha=alpha)
        self._seed = stream(seed, "sample distance")

    def __call__(self, iteration: int) -> dict:
        """`mmd` of the current mixture; draws depend on seed and iteration alone."""
        seed = tf.random.fold_in(self._seed, iteration)
        x, _ = mixtures.sample(self._model.mixture(), NUM_SAMPLES, seed)
        _, points = in_own_coordinates(self._target, np.asarray(x))
        if not np.isfinite(points).all():
            return {}
        return {"mmd": self._distance(points)}


def _read(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is no plain .npy file: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"{path} is no .npy file of numbers.")
    return array
