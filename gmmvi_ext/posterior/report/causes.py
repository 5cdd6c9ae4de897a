"""Why a mixture may fit badly: do its numbers lie beyond what the float format resolves?"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["Causes", "find_causes"]


class Causes(NamedTuple):
    """What was found; None where nothing was.

    Attributes:
      spread: (name, standard deviation) furthest from one, if it is far from one.
      far: (name, location, standard deviation) if the float format cannot resolve the spread there.
    """

    spread: tuple[str, float] | None = None
    far: tuple[str, float, float] | None = None


def find_causes(dtype: tf.DType, x: np.ndarray, names: list[str]) -> Causes:
    """Looks for reasons why a mixture does not fit.

    Args:
      dtype: of the mixture.
      x: draws of it in the D unconstrained coordinates, [S, D].
      names: of the D coordinates.
    """
    mean, spread = x.mean(axis=0), x.std(axis=0)
    furthest = int(np.argmax(np.abs(np.log10(np.maximum(spread, 1e-300)))))
    is_odd = not 1e-4 < spread[furthest] < 1e4
    epsilon = np.finfo(dtype.as_numpy_dtype).eps
    coarse = epsilon * np.abs(mean) / np.maximum(spread, 1e-300)
    worst = int(np.argmax(coarse))
    return Causes(
        (names[furthest], float(spread[furthest])) if is_odd else None,
        (names[worst], float(mean[worst]), float(spread[worst])) if coarse[worst] > 0.01 else None,
    )
