"""Does a density rise to infinity around a point, too fast to be normalized?

Where it goes as r^-b around the point, over decades of r, and b is no less than the number of
directions in which it is singular, there is no end to its mass. A mode is smooth once r is less
than its width: the slope goes to zero. It does so, too, closer to the singular set than a search
has come, but the gradient at the point tells the two apart: b / r there, and zero in a mode.
"""

import numpy as np

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.math.symmetric import symmetric_eigen

__all__ = ["singular_power"]

RESOLVED = 30.0  # roundings of the point's coordinates at which differences still tell
LEAST, LARGEST = 1e-10, 0.1  # radii, in units of the scale
MIN_DECADES = 2.5
PER_DECADE = 2
NUM_DIRECTIONS = 24
MIN_SLOPE, MAX_BEND = 0.5, 0.15
MIN_STEEP = 0.3  # of the slope, that the gradient at the point shows
IS_SINGULAR = 0.05  # of the largest curvature
MARGIN = 0.05


def singular_power(counted: CountedTarget, point: np.ndarray, scale: np.ndarray) -> float | None:
    """The power b of 1/r^b, as which the density rises, where that cannot be normalized, or None.

    Args:
      counted: the target, with gradients; evaluated at some hundred points.
      point: as near to the singular set as a search has come, [D].
      scale: of the region, by dimension, [D]; in units of it r is measured.
    """
    dim = len(point)
    least = max(RESOLVED * counted.epsilon * float(np.max(np.abs(point) / scale)), LEAST)
    # A scale that has collapsed onto the point is no scale.
    largest = max(LARGEST, least * 10.0 ** (MIN_DECADES + 1.0))
    count = int(np.log10(largest / least) * PER_DECADE) + 1
    radii = np.geomspace(least, largest, count)
    direction = np.random.default_rng(0).standard_normal((NUM_DIRECTIONS, dim))
    direction *= scale / np.linalg.norm(direction, axis=1, keepdims=True)
    around = point + radii[:, np.newaxis, np.newaxis] * direction
    height = counted.values(around.reshape(-1, dim)).reshape(count, -1).mean(axis=1)
    with np.errstate(invalid="ignore"):  # infinities
        slopes = -np.diff(height) / np.diff(np.log(radii))
    size = int(np.ceil(MIN_DECADES * PER_DECADE))
    for first in range(len(slopes) - size + 1):
        part = slopes[first : first + size]
        power = float(part.mean())
        if power > MIN_SLOPE and np.ptp(part) < MAX_BEND * power:
            break
    else:
        return None
    if first > 0:
        steep = float(np.linalg.norm(counted.grads(point[np.newaxis])[0] * scale))
        if steep * radii[first] < MIN_STEEP * power:
            return None
    radius = radii[first + size // 2]
    beside = point + radius * direction[0]
    if power < _num_singular(counted, beside, radius * scale) - MARGIN:
        return None
    return power


def _num_singular(counted: CountedTarget, x: np.ndarray, away: np.ndarray) -> int:
    """Directions in which the log density is curved as one over the squared distance `away`."""
    step = 0.05 * np.diag(away)
    grads = counted.grads(np.concatenate([x + step, x - step])).reshape(2, len(x), -1)
    hessian = (grads[0] - grads[1]) * away
    if not np.isfinite(hessian).all():
        return len(x)
    curved = np.abs(symmetric_eigen(hessian)[0])
    return int(np.sum(curved > IS_SINGULAR * curved.max()))
