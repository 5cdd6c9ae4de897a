"""Searches among known modes: to one of them, or to where another one is.

    1  L-BFGS in the scale of the nearest mode: where that mode (or one of about its shape) pulls, a
       few steps lead there, and the search is over
    2  where they do not, another mode is near, of another shape. From the same point the search
       begins again in the scale of the inverse Hessian there: inside the basin of a Gaussian it is
       that Gaussian's covariance, and the first step leads to its mean
    3  where that was not enough (tails of a Student-t bend the wrong way), once more from where it
       has come to

Searches from far away that did not come to rest go on with 2 and 3 (`in_own_shapes`): of ten
Student-t modes of condition 300 in twenty dimensions, plain L-BFGS and the scale of the best of
them led 3 to 12 of 18 searches to a mode; so all of them get there, for as many evaluations.

In the scale of a foreign mode steps are as ill-conditioned as both shapes together: modes of
condition 5000 in seven dimensions took 90 evaluations each and were missed in two of three
searches; so they take 20 and are missed in one of ten.
"""

from collections.abc import Callable

import numpy as np

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.laplace import hessian_cost, inverse_hessians
from gmmvi_ext.exploration.lbfgs import Runs, minimize

__all__ = ["followed", "in_own_shapes"]

FEW_STEPS = 8  # in the scale of the nearest mode
MAX_SHAPES, MAX_STEPS = 3, 15  # Hessians on the way of a run, and iterations with each
OWN_COST = 25  # evaluations for these iterations, on average


def followed(
    counted: CountedTarget,
    points: np.ndarray,
    factors: np.ndarray,
    widths: np.ndarray,
    max_evaluations: float,
    rng: np.random.Generator,
    *,
    furthest: float,
    is_done: Callable[[np.ndarray, np.ndarray], np.ndarray],
    lowest: float | None = None,
) -> Runs:
    """Runs from points among known modes.

    Args:
      counted: the target, with gradients.
      points: [R, D].
      factors: scale of the mode nearest to each, [R, D, D] or its diagonal [R, D].
      widths: of a typical mode by dimension, [D].
      max_evaluations: of the target; they are never exceeded.
      rng: of the probes of Hessians in more than a hundred dimensions.
      furthest: absolute coordinate at which a run has gone astray.
      is_done: as for `minimize`: which have reached what is known.
      lowest: as for `minimize`.
    """
    before = counted.count
    runs = minimize(
        counted.loss,
        points,
        (FEW_STEPS,),
        max_evaluations,
        furthest,
        scale=factors,
        lowest=lowest,
        epsilon=counted.epsilon,
        is_done=is_done,
    )
    # In a foreign scale a line search may find no way down: such a rest is none.
    runs.has_rested[:] = False
    in_own_shapes(
        counted,
        runs,
        points,
        widths,
        max_evaluations - (counted.count - before),
        rng,
        furthest=furthest,
        is_done=is_done,
        lowest=lowest,
    )
    return runs


def in_own_shapes(
    counted: CountedTarget,
    runs: Runs,
    points: np.ndarray,
    widths: np.ndarray,
    max_evaluations: float,
    rng: np.random.Generator,
    *,
    furthest: float,
    is_done: Callable[[np.ndarray, np.ndarray], np.ndarray],
    lowest: float | None = None,
) -> None:
    """Goes on with those of `runs` that are not over, in the shape of the point where they are.

    Args:
      counted: the target, with gradients.
      runs: changed in place.
      points: where those begin, [R, D].
      widths, max_evaluations, rng, furthest, is_done, lowest: as for `followed`.
    """
    before, dim = counted.count, points.shape[1]

    def left():
        return max_evaluations - (counted.count - before)

    at = points.copy()
    for _ in range(MAX_SHAPES):
        is_over = runs.has_rested | runs.is_done | ~np.isfinite(runs.value)
        affordable = max(left(), 0.0) / (hessian_cost(dim) + OWN_COST)
        rows = np.flatnonzero(~is_over)[: int(min(affordable, len(points)))]
        if not len(rows):
            return
        own = inverse_hessians(counted, at[rows], widths, rng)
        more = minimize(
            counted.loss,
            at[rows],
            (MAX_STEPS,),
            min(left(), OWN_COST * len(rows)),
            furthest,
            scale=own,
            lowest=lowest,
            epsilon=counted.epsilon,
            is_done=is_done,
        )
        for old, new in zip(runs[1:], more[1:], strict=True):
            old[rows] = new
        at[rows] = more.x
