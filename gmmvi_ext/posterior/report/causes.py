"""Why a mixture may fit badly: is the target improper, or beyond the float format?

A density that can be normalised falls faster than 1/r along (almost) every ray. Rays along the axes
of the unconstrained coordinates are followed, from ten to 1e12 standard deviations (or units, for
a mixture that may be far too narrow) away from the heaviest component, as far as the target gives
numbers there whose differences the float format can hold. It finds the usual mistakes (a
parameter without a prior, a sign), not a proof.
"""

from typing import NamedTuple

import numpy as np

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.posterior.importance.draws import ScoredDraws, evaluate_target
from gmmvi_ext.targets.base import Target

__all__ = ["Causes", "find_causes"]

RADII = 10.0 ** np.array([1, 2, 3, 4, 6, 9, 12])  # in standard deviations, at least one
MAX_AXES = 64
SLOWEST = -1.1  # of d log p / d log r: slower than this, the mass does not end
PROBE_SEED = 0


class Causes(NamedTuple):
    """What was found; None where nothing was.

    Attributes:
      improper: name of a coordinate along which the density does not fall off.
      spread: (name, standard deviation) furthest from one, if it is far from one.
      far: (name, location, standard deviation) if the float format cannot resolve the spread there.
    """

    improper: str | None = None
    spread: tuple[str, float] | None = None
    far: tuple[str, float, float] | None = None


def find_causes(mixture: Mixture, target: Target, draws: ScoredDraws, names: list[str]) -> Causes:
    """Looks for reasons why `mixture` does not fit `target`.

    Args:
      mixture: the fitted one, over D unconstrained coordinates.
      target: log density; evaluated at some hundred points.
      draws: of the mixture.
      names: of the D coordinates.
    """
    mean, spread = draws.x.mean(axis=0), draws.x.std(axis=0)
    furthest = int(np.argmax(np.abs(np.log10(np.maximum(spread, 1e-300)))))
    is_odd = not 1e-4 < spread[furthest] < 1e4
    epsilon = np.finfo(mixture.dtype.as_numpy_dtype).eps
    coarse = epsilon * np.abs(mean) / np.maximum(spread, 1e-300)
    worst = int(np.argmax(coarse))
    return Causes(
        _improper(mixture, target, spread, names),
        (names[furthest], float(spread[furthest])) if is_odd else None,
        (names[worst], float(mean[worst]), float(spread[worst])) if coarse[worst] > 0.01 else None,
    )


def _improper(mixture: Mixture, target: Target, spread: np.ndarray, names: list[str]) -> str | None:
    centre = np.asarray(mixture.components.loc, np.float64)[int(np.argmax(mixture.log_weights))]
    axes = np.linspace(0, len(centre) - 1, min(len(centre), MAX_AXES)).astype(int)
    offsets = np.zeros([len(axes), 2, len(RADII), len(centre)])
    for n, axis in enumerate(axes):
        for side, sign in enumerate((1.0, -1.0)):
            offsets[n, side, :, axis] = sign * RADII * max(spread[axis], 1.0)
    points = (centre + offsets).reshape(-1, len(centre))
    numpy_dtype = mixture.dtype.as_numpy_dtype
    with np.errstate(over="ignore"):
        values = evaluate_target(target, points.astype(numpy_dtype), PROBE_SEED)
    values = values.astype(np.float64).reshape(len(axes), 2, len(RADII))
    epsilon = np.finfo(target.dtype.as_numpy_dtype).eps
    for axis, rays in zip(axes, values, strict=True):
        if any(_is_improper(ray, epsilon) for ray in rays):
            return names[axis]
    return None


def _is_improper(ray: np.ndarray, epsilon: float) -> bool:
    """Whether the last two numbers on a ray say that the density falls too slowly, or rises."""
    if np.isposinf(ray).any():
        return True
    known = np.flatnonzero(~np.isnan(ray))
    if len(known) < 2 or np.isneginf(ray[known[-1]]):
        return False
    near, far = known[-2:]
    rounding = epsilon * abs(ray[near])
    if rounding > 0.1 and abs(ray[far] - ray[near]) < 10.0 * rounding:
        return False  # a large constant hides whether it falls
    return (ray[far] - ray[near]) / np.log(RADII[far] / RADII[near]) > SLOWEST
