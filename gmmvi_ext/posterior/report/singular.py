"""Does a density rise to infinity somewhere, too fast to be normalized (`exploration.singular`)?

It is asked where searches have found no mode, and, climbing further, where draws are highest.
"""

import numpy as np

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.lbfgs import minimize
from gmmvi_ext.exploration.singular import singular_power
from gmmvi_ext.posterior.importance.draws import ScoredDraws
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.mapped import in_own_coordinates

__all__ = ["singular_point"]

NUM_CLIMBS, MAX_ITERATIONS, MAX_EVALUATIONS = 3, 60, 400
MIN_RISE = 3.0  # nats above the highest draw, and one more for each dimension
MAX_SHOWN = 3


def singular_point(
    target: Target,
    draws: ScoredDraws,
    names: list[str],
    place: np.ndarray | None = None,
    *,
    max_evaluations: int = MAX_EVALUATIONS,
) -> str | None:
    """Where the density cannot be normalized, and how it rises there, in words, or None.

    Args:
      target: log density with a gradient; evaluated at some hundred points.
      draws: of the mixture.
      names: of the D coordinates.
      place: where searches have found it singular, [D]; None where they have not.
      max_evaluations: of the climbs.
    """
    if not target.has_gradient or target.exact is None:
        return None
    given = np.zeros((0, draws.x.shape[1])) if place is None else np.reshape(place, [1, -1])
    target, x, given = in_own_coordinates(target, draws.x, given)
    counted = CountedTarget(target)
    spread = np.maximum(x.std(axis=0), 1e-30)
    climbed = _climbed(counted, x, draws, spread, max_evaluations)
    for point in [*given, *([] if climbed is None else [climbed])]:
        power = singular_power(counted, point, spread)
        if power is not None:
            named = list(zip(names, point, strict=True))[:MAX_SHOWN]
            shown = ", ".join(f"{name} = {value:.3g}" for name, value in named)
            return f"{shown}{', ...' if len(point) > MAX_SHOWN else ''} as 1/r^{power:.2f}"
    return None


def _climbed(counted, x, draws: ScoredDraws, spread, max_evaluations: int) -> np.ndarray | None:
    """A point far above the highest draws, [D]; None where there is none."""
    value = np.where(draws.is_finite, draws.target_log_prob, -np.inf)
    best = np.argsort(-value)[:NUM_CLIMBS]
    highest = counted.values(x[best]).max()
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
    return runs.x[top] if -runs.value[top] > highest + MIN_RISE + x.shape[1] else None
