"""Does a density rise to infinity somewhere, too fast to be normalized?

From the highest draws the density is climbed. Where it goes as r^-b around the point reached, over
decades of r, and b is no less than the number of directions in which it is singular, there is no
end to its mass. A mode is smooth once r is less than its width: the slope goes to zero.
"""

import numpy as np

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.lbfgs import minimize
from gmmvi_ext.math.symmetric import symmetric_eigen
from gmmvi_ext.posterior.importance.draws import ScoredDraws
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.mapped import in_own_coordinates

__all__ = ["singular_point"]

NUM_CLIMBS, MAX_ITERATIONS, MAX_EVALUATIONS = 3, 60, 400
RADII = 10.0 ** -np.arange(1.0, 5.0)  # in standard deviations of the draws
NUM_DIRECTIONS = 16
MIN_RISE = 3.0  # nats above the highest draw, and one more for each dimension
MIN_SLOPE, MAX_BEND = 0.5, 0.15
IS_SINGULAR = 0.05  # of the largest curvature
MARGIN = 0.05
MAX_SHOWN = 3


def singular_point(
    target: Target,
    draws: ScoredDraws,
    names: list[str],
    *,
    max_evaluations: int = MAX_EVALUATIONS,
) -> str | None:
    """Where the density cannot be normalized, and how it rises there, in words, or None.

    Args:
      target: log density with a gradient; evaluated at some hundred points.
      draws: of the mixture.
      names: of the D coordinates.
      max_evaluations: of the climbs.
    """
    if not target.has_gradient or target.exact is None:
        return None
    target, x = in_own_coordinates(target, draws.x)
    counted, dim = CountedTarget(target), x.shape[1]
    value = np.where(draws.is_finite, draws.target_log_prob, -np.inf)
    best = np.argsort(-value)[:NUM_CLIMBS]
    highest = counted.values(x[best]).max()
    spread = np.maximum(x.std(axis=0), 1e-30)
    runs = minimize(
        counted.loss,
        x[best],
        (MAX_ITERATIONS,),
        max_evaluations,
        scale=np.tile(spread, (len(best), 1)),
        lowest=-highest - 1.0,
        epsilon=counted.epsilon,
    )
    top = int(np.argmin(runs.value))
    if not -runs.value[top] > highest + MIN_RISE + dim:
        return None
    point = runs.x[top]
    direction = np.random.default_rng(0).standard_normal((NUM_DIRECTIONS, dim))
    direction *= spread / np.linalg.norm(direction, axis=1, keepdims=True)
    around = point + RADII[:, np.newaxis, np.newaxis] * direction
    height = counted.values(around.reshape(-1, dim)).reshape(len(RADII), -1).mean(axis=1)
    slope = np.diff(height) / np.log(10.0)
    power = slope[1:].mean()
    if not (power > MIN_SLOPE and np.ptp(slope[1:]) < MAX_BEND * power):
        return None
    if power < _num_singular(counted, around[1, 0], RADII[1], spread) - MARGIN:
        return None
    shown = ", ".join(f"{n} = {v:.3g}" for n, v in list(zip(names, point, strict=True))[:MAX_SHOWN])
    return f"{shown}{', ...' if dim > MAX_SHOWN else ''} as 1/r^{power:.2f}"


def _num_singular(counted: CountedTarget, x: np.ndarray, radius: float, spread) -> int:
    """Directions in which the log density is curved as one over the squared distance."""
    step = 0.05 * radius * np.diag(spread)
    grads = counted.grads(np.concatenate([x + step, x - step])).reshape(2, len(x), -1)
    hessian = (grads[0] - grads[1]) * spread / (0.1 * radius)
    if not np.isfinite(hessian).all():
        return len(x)
    curved = np.abs(symmetric_eigen(hessian)[0])
    return int(np.sum(curved > IS_SINGULAR * curved.max()))
