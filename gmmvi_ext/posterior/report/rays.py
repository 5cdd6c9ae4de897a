"""Does the target fall off, so that it can be normalized at all?

A density on R^D that can be normalized falls faster than r^-D along almost every ray; along an axis
in which it is a product with the rest, faster than 1/r. Rays along the axes of the unconstrained
coordinates, the principal axes of the mixture and random directions are followed, from ten to 1e12
standard deviations (or units, for a mixture that may be far too narrow) away from the heaviest
component, as far as the target gives numbers there whose differences the float format can hold. It
finds the usual mistakes (a parameter without a prior, a sum that alone is determined, a sign), not
a proof.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.math.random import substream
from gmmvi_ext.math.symmetric import symmetric_eigen
from gmmvi_ext.posterior.importance.draws import evaluate_target
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.mapped import in_own_coordinates

__all__ = ["improper_direction", "num_ray_points"]

RADII = 10.0 ** np.array([1, 2, 3, 4, 6, 9, 12])  # in standard deviations, at least one
NEAR_RADII = np.array([10.0, 30.0])  # along principal axes, which are known so far only
MAX_AXES = 64
NUM_PRINCIPAL, ELONGATED = 3, 30.0  # principal axes, and how much longer they are than others
NUM_RANDOM = 16
MARGIN = 0.1  # of d log p / d log r + 1 (or D): slower than this, the mass does not end
MAX_VALLEY, MAX_DEPTH = 50.0, 1000.0  # nats below the center, of a ray that is cut, and of others
NUM_BETWEEN = 12  # radii between two powers of ten, where the format ends between them
AWAY = 1e-3  # standard deviations: places closer to the center give no direction
NUM_PARTS = 4  # axes, principal axes, places, random directions: each looks at the center, too
SHOWN = 0.5  # of the largest entry of a direction: what is named of it
MAX_SHOWN = 3


def improper_direction(
    mixture: Mixture,
    target: Target,
    draws: np.ndarray,
    names: list[str],
    seed=0,
    places: np.ndarray | None = None,
    *,
    radii: np.ndarray = RADII,
    num_random: int = NUM_RANDOM,
) -> str | None:
    """Coordinates along which the density does not fall off, in words, or None.

    Args:
      mixture: the fitted one, over D unconstrained coordinates.
      target: log density; evaluated at some hundred points.
      draws: of the mixture, [S, D].
      names: of the D coordinates.
      seed: of the random directions.
      places: where searches have come to rest beside the mixture, or training has gone, [n, D]:
        on a floor whose direction nobody knows they end along it.
      radii: where the rays are looked at, in standard deviations.
      num_random: random directions.
    """
    dim = draws.shape[1]
    heaviest = int(np.argmax(mixture.log_weights))
    center = np.asarray(mixture.components.loc, np.float64)[heaviest : heaviest + 1]
    target, center, draws, places = in_own_coordinates(target, center, draws, places)
    center = center[0]
    spread = np.maximum(draws.std(axis=0), 1.0)
    axes = np.linspace(0, dim - 1, min(dim, MAX_AXES)).astype(int)
    found = _along(mixture, target, center, (np.eye(dim) * spread)[axes], radii, 1.0)
    if found is None and dim > 1:
        # A mixture grows along a ridge that does not end.
        lengths, basis = symmetric_eigen(np.cov(draws, rowvar=False))
        lengths = np.sqrt(np.maximum(lengths, 0.0))
        is_long = lengths > ELONGATED * max(np.median(lengths[: (dim + 1) // 2]), 1e-300)
        longest = (basis * lengths).T[is_long][-NUM_PRINCIPAL:]
        if len(longest):
            found = _along(mixture, target, center, longest, NEAR_RADII, 1.0)
    if found is None and dim > 1 and places is not None and len(places):
        away = places - center
        distance = np.linalg.norm(away / spread, axis=1, keepdims=True)
        away = (away / np.maximum(distance, AWAY))[distance[:, 0] > AWAY]
        if len(away):
            found = _along(mixture, target, center, away, _near(radii), 1.0)
    if found is None and dim > 1:
        random = tf.random.stateless_normal([num_random, dim], substream(seed, "rays")).numpy()
        random *= spread / np.linalg.norm(random, axis=1, keepdims=True)
        found = _along(mixture, target, center, random, radii, float(dim))
    if found is None:
        return None
    size = np.abs(found / spread)
    shown = np.argsort(-size, kind="stable")[:MAX_SHOWN]
    return ", ".join(names[i] for i in shown if size[i] >= SHOWN * size.max())


def num_ray_points(num_dimensions: int, radii: np.ndarray, num_random: int, num_places: int) -> int:
    """Most evaluations that `improper_direction` takes."""
    axes = min(num_dimensions, MAX_AXES)
    towards = num_places * len(_near(radii)) + NUM_PRINCIPAL * len(NEAR_RADII)
    return 2 * ((axes + num_random) * len(radii) + towards) + NUM_PARTS


def _near(radii: np.ndarray) -> np.ndarray:
    """Those along directions that are known so far only."""
    return radii[: (len(radii) + 1) // 2]


def _along(mixture, target: Target, center, directions, radii, power: float) -> np.ndarray | None:
    """The first of the directions along which the density falls more slowly than r^-power."""
    rays = np.concatenate([directions, -directions])
    values, is_beyond = _on_rays(mixture, target, center, rays, radii)
    is_cut = np.zeros(len(rays), bool)
    at_center = center[np.newaxis].astype(mixture.dtype.as_numpy_dtype)
    top = float(evaluate_target(target, at_center, 0)[0])
    if target.layout.has_held and np.count_nonzero(directions, axis=1).max() > 1:
        # Where the format ends the target goes on as a straight line. That tells along one axis;
        # across several, what lies best there may lie beyond, and the line rises for ever.
        values[is_beyond] = np.nan
        is_cut = is_beyond.any(axis=1)
    epsilon = np.finfo(target.dtype.as_numpy_dtype).eps
    for ray, value, cut in zip(rays, values, is_cut, strict=True):
        # On the way out it may rise out of a valley: only what comes near to the center's level
        # tells. A scale that grows along a ray lifts it from depths to a plateau of its own.
        known = np.flatnonzero(~np.isnan(value))[-1:]
        depth = MAX_VALLEY if cut else MAX_DEPTH + power * np.log(radii[known])
        if (value[known] < top - depth).any():
            continue
        at = radii
        if cut and _is_improper(value, at, epsilon, -power - MARGIN):
            at, value = _up_to_the_cut(mixture, target, center, ray, radii, value)
        if _is_improper(value, at, epsilon, -power - MARGIN):
            return ray
    return None


def _on_rays(mixture, target: Target, center, rays, radii) -> tuple[np.ndarray, np.ndarray]:
    """Log densities, and which of them lie beyond the end of the format, [rays, radii]."""
    points = center + radii[:, np.newaxis] * rays[:, np.newaxis, :]
    points = points.reshape(-1, len(center)).astype(mixture.dtype.as_numpy_dtype)
    with np.errstate(over="ignore"):
        values = evaluate_target(target, points, 0).astype(np.float64)
    held = target.layout.held(tf.cast(points, target.dtype)).numpy()
    shape = len(rays), len(radii)
    return values.reshape(shape), (held != points).any(axis=1).reshape(shape)


def _up_to_the_cut(mixture, target: Target, center, ray, radii, value):
    """Radii and values of a ray, with further ones between the last that is known and the next.

    A power of ten is a long way: a ray that has risen out of a valley may fall for the rest of it.
    """
    last = np.flatnonzero(~np.isnan(value))[-1]
    if last + 1 == len(radii):
        return radii, value
    between = np.geomspace(radii[last], radii[last + 1], NUM_BETWEEN + 2)[1:-1]
    found, is_beyond = _on_rays(mixture, target, center, ray[np.newaxis], between)
    found[is_beyond] = np.nan
    return np.append(radii[: last + 1], between), np.append(value[: last + 1], found[0])


def _is_improper(ray: np.ndarray, radii: np.ndarray, epsilon: float, slowest: float) -> bool:
    """Whether the last two numbers on a ray say that the density falls too slowly, or rises."""
    if np.isposinf(ray).any():
        return True
    known = np.flatnonzero(~np.isnan(ray))
    # From outside of a support into it a density rises, too: that says nothing of its end.
    if len(known) < 2 or np.isneginf(ray[known[-2:]]).any():
        return False
    near, far = known[-2:]
    rounding = epsilon * abs(ray[near])
    if rounding > 0.1 and abs(ray[far] - ray[near]) < 10.0 * rounding:
        return False  # a large constant hides whether it falls
    return (ray[far] - ray[near]) / np.log(radii[far] / radii[near]) > slowest
