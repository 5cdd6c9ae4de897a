"""Probes: one evaluation each says whether a point belongs to a mode that is known.

Where a density is that of a Gaussian mode k (or falls off from it in ellipsoids, as a Student-t
does), its gradient leads straight to the mode. In whitened coordinates z = L_k^-1 (x - m_k) and
with the slope s = L_k^T grad log p(x), the line from x along s passes the mode at

    miss^2 = |z|^2 - (z . s)^2 / |s|^2

A point is explained by the mode that its line comes nearest to, if that is within the bulk.
Between modes the slope is a sum of the pulls -P_k (x - m_k) of several, P_k = (L_k L_k^T)^-1: a
point is explained by a pair, too, if the slope lies as near to a sum of two pulls with positive
factors. Only the others are worth a search. So a narrow mode among wide ones, which owns a
thousandth of the points from where searches could start, takes a thousand evaluations instead of a
thousand searches.
From far away a mode of relative width r < 1 is seen within the directions around it with
sin(angle) < r, a share of I_{r^2}((D - 1)/2, 1/2) / 2 of all at best: what is narrower, or lies in
more dimensions, nobody finds who knows nothing but values of the density.
"""

import numpy as np

from gmmvi_ext.exploration.catalog import Catalog
from gmmvi_ext.exploration.starting_points import Start, more_points

__all__ = ["chance_to_meet", "chance_wanted", "furthest_coordinate", "leads_to", "probe_points"]

NEAREST, FURTHEST = 1.5, 1000.0  # radii of shells around a mode, in typical radii of it
INFLATION = (0.5, 1.5)  # of where another mode would be
LARGEST = 1e6  # coordinate at which a search has gone astray, where widths are about one
MAX_SINE = 0.5  # of the angle between a slope and the way to the mode that explains it
NUM_PLANTED, NARROWER = 100, 2.5  # modes to see what probes can find, and how much narrower
BEYOND = 0.5  # standard deviations of the log widths by which they are narrower than the narrowest
# Chance that probes would have met modes somewhat narrower than those known: the least that is
# asked for, and what is enough for any number of modes (a hundred planted ones tell no more).
MIN_CHANCE, MAX_CHANCE = 0.7, 0.98
MAX_UNMET = 0.25  # modes that may be expected to have remained unseen beside those that were met
MAX_ELEMENTS = 8_000_000  # of temporary arrays


def furthest_coordinate(loc: np.ndarray, factors: np.ndarray) -> float:
    """The absolute coordinate beyond which nothing is looked for.

    Args:
      loc: known modes, [M, D]; M may be 0.
      factors: Cholesky factors of their covariances [M, D, D], or standard deviations [M, D].
    """
    if not len(loc):
        return LARGEST
    spread = factors if factors.ndim == 2 else np.linalg.norm(factors, axis=2)
    return max(LARGEST, float(np.abs(loc).max() + 5.0 * FURTHEST * spread.max()))


def probe_points(
    start: Start, loc: np.ndarray, factors: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Points for probes, [count, D].

    With one mode known, half of them on shells around it whose radii go from 1.5 to 1000 of its
    own in geometric steps, every other one of its shape, the rest as wide in all coordinates; with
    several, four fifths (two where there is a prior) where another mode like those would be. The
    others are where searches start (`starting_points.more_points`).

    Args:
      start: where the first searches began.
      loc: known modes, [M, D], M >= 1.
      factors: Cholesky factors of their covariances [M, D, D], or standard deviations [M, D].
      count: number of points.
      rng: of the draws.
    """
    if len(loc) > 1:
        share = 0.4 if len(start.pool) else 0.8
        near = _among(loc, factors, int(share * count), rng)
    else:
        near = _on_shells(loc, factors, count // 2, rng)
    return np.concatenate([near, more_points(start, loc, count - len(near), rng)])


def _among(loc: np.ndarray, factors: np.ndarray, count: int, rng) -> np.ndarray:
    """Normal draws around all modes with the spread of the next one of few."""
    number, dim = loc.shape
    squares = factors**2 if factors.ndim == 2 else np.sum(factors**2, axis=2)
    own = np.exp(0.5 * np.log(squares).mean(axis=0))  # widths by coordinate, [D]
    spread = np.sqrt((number + 1) / (number - 1)) * loc.std(axis=0) / own
    typical = np.sqrt(np.mean(spread**2))
    # Few modes span few directions: mostly the same in all, in units of the widths.
    is_even = (np.arange(count) % 4 > 0)[:, np.newaxis]
    spread = np.where(is_even, typical, np.maximum(spread, 0.5 * typical))
    size = np.exp(rng.uniform(*np.log(INFLATION), (count, 1)))
    size[::2] = 1.0
    return loc.mean(axis=0) + size * own * spread * rng.standard_normal((count, dim))


def _on_shells(loc: np.ndarray, factors: np.ndarray, count: int, rng) -> np.ndarray:
    """Points in all directions from the modes."""
    dim = loc.shape[1]
    direction = rng.standard_normal((count, dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    which = rng.integers(len(loc), size=count)
    own = factors[which]
    step = own * direction if own.ndim == 2 else np.einsum("nij,nj->ni", own, direction)
    # In the shape of the mode nothing is as dense as that mode; others have shapes of their own.
    if own.ndim == 3:
        step[::2] = (np.linalg.norm(own, axis=2) * direction)[::2]
    # Stratified: few probes have radii of all sizes.
    at = (rng.permutation(count) + rng.random(count)) / max(count, 1)
    radius = np.sqrt(dim) * NEAREST * (FURTHEST / NEAREST) ** at
    return loc[which] + radius[:, np.newaxis] * step


@np.errstate(over="ignore", invalid="ignore")  # gradients too large to square
def leads_to(x: np.ndarray, grad: np.ndarray, loc: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The mode that explains each point, -1 where none does, [n].

    Args:
      x: [n, D].
      grad: of the log density there, [n, D]; what is not finite explains nothing.
      loc: modes, [M, D].
      factors: Cholesky factors of their covariances [M, D, D], or standard deviations [M, D].
    """
    dim = x.shape[1]
    is_full = factors.ndim == 3
    inverse = np.linalg.inv(factors) if is_full else 1.0 / factors
    index = np.full(len(x), -1)
    size = max(1, MAX_ELEMENTS // max(loc.size, 1))
    rows = np.flatnonzero(np.isfinite(grad).all(axis=1))
    for part in np.array_split(rows, max(1, -(-len(rows) // size))):
        if not len(part):
            continue
        offset = x[part, np.newaxis] - loc  # [n, M, D]
        if is_full:
            z = np.einsum("mij,nmj->nmi", inverse, offset, optimize=True)
            slope = np.einsum("mji,nj->nmi", factors, grad[part], optimize=True)
        else:
            z, slope = offset * inverse, grad[part, np.newaxis] * factors
        along = -np.sum(z * slope, axis=2)
        if dim == 1:  # every line leads everywhere: how far a Newton step goes
            miss = np.sum((z + slope) ** 2, axis=2)
        else:
            steep = np.maximum(np.sum(slope**2, axis=2), 1e-300)
            miss = np.sum(z * z, axis=2) - along**2 / steep
        miss = np.where(along > 0.0, miss, np.inf)
        nearest = miss.argmin(axis=1)
        passed = np.take_along_axis(miss, nearest[:, np.newaxis], axis=1)[:, 0]
        square = np.sum(z[np.arange(len(part)), nearest] ** 2, axis=1)
        is_led = passed <= np.minimum(dim, MAX_SINE**2 * square)
        index[part] = np.where(is_led, nearest, -1)
        if dim > 2 and len(loc) > 1:
            rest = ~is_led
            pulls = -np.einsum("mji,nmj->nmi", inverse, z[rest]) if is_full else -z[rest] * inverse
            index[part[rest]] = _pulled_by_two(z[rest], grad[part[rest]], pulls, factors)
    return index


def _pulled_by_two(z, grad, pulls, factors) -> np.ndarray:
    """The nearest mode where its pull and that of another one explain the slope, else -1, [n].

    Args:
      z: whitened offsets to all modes, [n, M, D].
      grad: of the log density, [n, D].
      pulls: of all modes, [n, M, D].
      factors: as for `leads_to`.
    """
    dim, rows = z.shape[2], np.arange(len(z))
    square = np.sum(z * z, axis=2)
    own = square.argmin(axis=1)
    scale = factors[own]
    if scale.ndim == 3:
        slope = np.einsum("nji,nj->ni", scale, grad)
        pulls = np.einsum("nji,nmj->nmi", scale, pulls, optimize=True)
    else:
        slope, pulls = scale * grad, scale[:, np.newaxis] * pulls
    slope = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-300)
    pulls = pulls / np.maximum(np.linalg.norm(pulls, axis=2, keepdims=True), 1e-300)
    first = pulls[rows, own]
    # Least squares of the slope on the own pull and one other, for all others at once.
    between = np.einsum("nd,nmd->nm", first, pulls)
    on_other = np.einsum("nd,nmd->nm", slope, pulls)
    on_first = np.sum(slope * first, axis=1)[:, np.newaxis]
    det = np.maximum(1.0 - between**2, 1e-12)
    a, b = (on_first - between * on_other) / det, (on_other - between * on_first) / det
    residual = np.where((a >= 0.0) & (b >= 0.0), 1.0 - a * on_first - b * on_other, np.inf)
    is_led = residual.min(axis=1) <= np.minimum(
        dim / np.maximum(square[rows, own], 1e-300), MAX_SINE**2
    )
    return np.where(is_led, own, -1)


def chance_to_meet(x: np.ndarray, known: Catalog, rng: np.random.Generator) -> float:
    """What probes could find: the share of planted modes of which at least one probe is part.

    Modes are planted where another one would be, 2.5 times narrower than the widest known one, or
    narrower than the narrowest by half of the spread of the log widths (so does the least of some
    draws lie beyond that of a few less), and of average mass; a probe is part of one that is denser
    there than all that is known.

    Args:
      x: points of all probes, [n, D].
      known: modes; at least two that matter.
      rng: of the places.
    """
    modes = known.relevant
    dim = x.shape[1]
    factors = np.array([mode.scale_tril for mode in modes])
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    narrowest = int(log_det.argmin())
    log_width = log_det / dim
    least = min(log_width.max() - np.log(NARROWER), log_width.min() - BEYOND * log_width.std())
    shrink = max(np.exp(log_width[narrowest] - least), 1.0)
    inverse = shrink * np.linalg.inv(factors[narrowest])
    top = np.logaddexp.reduce([mode.log_mass for mode in modes]) - np.log(len(modes))
    top += -log_det[narrowest] + dim * np.log(shrink) - 0.5 * dim * np.log(2 * np.pi)
    fall = top - known.log_prob(x)
    places = _among(known.locations(), factors, NUM_PLANTED, rng)
    met = [np.any(0.5 * np.sum(((x - each) @ inverse.T) ** 2, axis=1) < fall) for each in places]
    return float(np.mean(met))


def chance_wanted(number: int) -> float:
    """The chance to meet a mode from which on what is known, `number` modes, is believed to be all.

    With each met by chance c, of n that were met some n (1 - c) have remained unseen.
    """
    return min(max(MIN_CHANCE, 1.0 - MAX_UNMET / max(number, 1)), MAX_CHANCE)
