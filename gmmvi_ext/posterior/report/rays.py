"""Does the target fall off, so that it can be normalised at all?

A density on R^D that can be normalised falls faster than r^-D along almost every ray; along an axis
in which it is a product with the rest, faster than 1/r. Rays along the axes of the unconstrained
coordinates and in random directions are followed, from ten to 1e12 standard deviations (or units,
for a mixture that may be far too narrow) away from the heaviest component, as far as the target
gives numbers there whose differences the float format can hold. It finds the usual mistakes (a
parameter without a prior, a sum that alone is determined, a sign), not a proof.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.math.random import substream
from gmmvi_ext.posterior.importance.draws import evaluate_target
from gmmvi_ext.targets.base import Target

__all__ = ["improper_direction"]

RADII = 10.0 ** np.array([1, 2, 3, 4, 6, 9, 12])  # in standard deviations, at least one
MAX_AXES = 64
NUM_RANDOM = 16
MARGIN = 0.1  # of d log p / d log r + 1 (or D): slower than this, the mass does not end
SHOWN = 0.5  # of the largest entry of a direction: what is named of it
MAX_SHOWN = 3


def improper_direction(
    mixture: Mixture, target: Target, spread: np.ndarray, names: list[str], seed=0
) -> str | None:
    """A direction along which the density does not fall off, in words, or None.

    Args:
      mixture: the fitted one, over D unconstrained coordinates.
      target: log density; evaluated at some hundred points.
      spread: standard deviation of every coordinate, [D].
      names: of the D coordinates.
      seed: of the random directions.
    """
    dim = len(spread)
    centre = np.asarray(mixture.components.loc, np.float64)[int(np.argmax(mixture.log_weights))]
    axes = np.linspace(0, dim - 1, min(dim, MAX_AXES)).astype(int)
    directions, slowest = np.eye(dim)[axes], np.full(len(axes), -1.0 - MARGIN)
    if dim > 1:
        random = tf.random.stateless_normal([NUM_RANDOM, dim], substream(seed, "rays")).numpy()
        random = random / np.linalg.norm(random, axis=1, keepdims=True)
        directions = np.concatenate([directions, random])
        slowest = np.concatenate([slowest, np.full(NUM_RANDOM, -dim - MARGIN)])
    directions = np.concatenate([directions, -directions])
    slowest = np.concatenate([slowest, slowest])
    widths = directions * np.maximum(spread, 1.0)
    points = centre + RADII[:, np.newaxis] * widths[:, np.newaxis, :]
    numpy_dtype = mixture.dtype.as_numpy_dtype
    with np.errstate(over="ignore"):
        values = evaluate_target(target, points.reshape(-1, dim).astype(numpy_dtype), 0)
    values = values.astype(np.float64).reshape(len(directions), len(RADII))
    epsilon = np.finfo(target.dtype.as_numpy_dtype).eps
    for direction, ray, limit in zip(directions, values, slowest, strict=True):
        if _is_improper(ray, epsilon, limit):
            largest = np.argsort(-np.abs(direction), kind="stable")[:MAX_SHOWN]
            shown = [i for i in largest if abs(direction[i]) >= SHOWN * abs(direction[largest[0]])]
            return ", ".join(names[i] for i in shown)
    return None


def _is_improper(ray: np.ndarray, epsilon: float, slowest: float) -> bool:
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
    return (ray[far] - ray[near]) / np.log(RADII[far] / RADII[near]) > slowest
