"""Where searches begin.

A prior says where a posterior can be, so draws of it are the natural starting points. Without one
nothing is known about the scale: the widths go from 1 to 1000 in geometric steps, each with its
share of the searches. Once modes are known, searches also begin around and between them.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.coordinate_map import AnyMap
from gmmvi_ext.math.random import stream
from gmmvi_ext.targets.base import Target

__all__ = ["WIDTHS", "Start", "more_points", "start_from"]

WIDTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)  # of starting points where no prior tells
FIRST_SEARCHES = 12
NUM_PRIOR_DRAWS = 512
INFLATION = (1.0, 2.0, 4.0)  # of a prior, and of the spread of the known modes
FEW = 3
TYPICAL = 3.0  # width where nothing is known


class Start(NamedTuple):
    """Where the search begins.

    Attributes:
      points: of the first searches, [R, D].
      mean, scale: center and width by dimension, [D].
      pool: draws of the prior, [N, D]; empty where there is none.
      reach: widths, in units of `scale`, from which further searches choose.
      given: center that the user gave, [D], with the mean where nothing was said; None for none.
    """

    points: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    pool: np.ndarray
    reach: tuple[float, ...] = INFLATION
    given: np.ndarray | None = None

    @property
    def center(self) -> np.ndarray:
        """Where a Gaussian begins if evaluations do not suffice for searches, [D]."""
        return self.mean if self.given is None else self.given

    def in_coordinates(self, coordinate_map: AnyMap) -> "Start":
        """The same places in the coordinates of a map."""

        def inner(x):
            return coordinate_map.inverse(tf.constant(x, tf.float64)).numpy()

        mean = inner(self.mean[np.newaxis])
        # Widths beyond the bulk are bent, too: the way from one end to the other counts.
        ends = self.mean + np.diag(self.scale)
        spread = 0.5 * (inner(ends) - inner(2.0 * self.mean - ends))
        return Start(
            inner(self.points),
            mean[0],
            np.sqrt((spread**2).sum(axis=0)),
            inner(self.pool) if len(self.pool) else self.pool,
            self.reach,
            None if self.given is None else inner(self.given[np.newaxis])[0],
        )


def start_from(
    target: Target, *, mean=None, scale=None, initial: np.ndarray | None = None, seed: int = 0
) -> Start:
    """Starting points: of a given Gaussian, of the target's prior, or around zero.

    Args:
      target: its `start` is used where it has one.
      mean, scale: of a Gaussian the user asked for, numbers or [D]; None for neither.
      initial: where the first search begins, [D], NaN where the user said nothing; the center of
        all searches where there is neither Gaussian nor prior, and of all draws where there are no
        searches.
      seed: integer.
    """
    start = _start_without(target, mean, scale, seed)
    if initial is None:
        return start
    is_given = np.isfinite(initial)
    points, center = start.points.copy(), np.where(is_given, initial, start.mean)
    if start.reach != INFLATION:  # around zero, for want of anything else
        points, start = points + center, start._replace(mean=center)
    points[0] = np.where(is_given, initial, points[0])
    return start._replace(points=points, given=center)


def _start_without(target: Target, mean, scale, seed: int) -> Start:
    """`start_from` where nothing is said of the first search."""
    dim = target.num_dimensions
    rng = np.random.default_rng([seed, 1])
    noise = rng.standard_normal((FIRST_SEARCHES, dim))
    nothing = np.zeros((0, dim))
    if mean is not None or scale is not None:
        mean = np.broadcast_to(np.asarray(0.0 if mean is None else mean, float), (dim,))
        scale = np.broadcast_to(np.asarray(1.0 if scale is None else scale, float), (dim,))
        return Start(mean + scale * noise, mean, scale, nothing)
    if target.can_start:
        draws = np.asarray(target.start(NUM_PRIOR_DRAWS, stream(seed, "start")), float)
        draws = draws[np.isfinite(draws).all(axis=1)]
        if len(draws) >= FIRST_SEARCHES:
            low, middle, high = np.quantile(draws, [0.16, 0.5, 0.84], axis=0)
            scale = np.clip((high - low) / 2.0, 1e-3, 1e3)
            # Tails of the prior are no place to start from.
            pool = np.clip(draws, middle - 3 * scale, middle + 3 * scale)
            return Start(pool[:FIRST_SEARCHES], middle, scale, pool[FIRST_SEARCHES:])
    widths = np.resize(WIDTHS, FIRST_SEARCHES)[:, np.newaxis]
    reach = tuple(width / TYPICAL for width in WIDTHS)
    return Start(widths * noise, np.zeros(dim), np.full(dim, TYPICAL), nothing, reach)


def more_points(
    start: Start, known: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Starting points of further searches, [count, D].

    A third each: draws of the prior, draws of it inflated (or both around zero, in all widths), and
    around the center of the known modes with their spread once to four times; two thirds of the
    last kind where more than a few modes are known.

    Args:
      start: where the first searches began.
      known: modes, [M, D]; may be empty.
      count: number of points.
      rng: of the draws.
    """
    dim = len(start.mean)
    noise = rng.standard_normal((count, dim))
    inflation = rng.choice(INFLATION, count)[:, np.newaxis]
    kind = np.arange(count)[:, np.newaxis] % 3
    points = start.mean + rng.choice(start.reach, count)[:, np.newaxis] * start.scale * noise
    if len(start.pool):
        drawn = start.pool[rng.integers(len(start.pool), size=count)] - start.mean
        points = start.mean + np.where(kind == 0, drawn, inflation * drawn)
    if len(known) > 1:
        spread = np.maximum(known.std(axis=0), 1e-3 * start.scale)
        kind = np.where(len(known) > FEW, np.minimum(kind, 1), kind)
        points = np.where(kind == 1, known.mean(axis=0) + inflation * spread * noise, points)
    return points
