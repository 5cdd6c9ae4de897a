"""The modes that searches have ended in, and what their numbers say of modes still unseen.

With n searches, of which d ended in different modes that matter, f1 of them met once and f2 twice:

    chance that the next search ends in a new mode   f1 / n                     (Good, 1953)
    number of modes, at least                        d + f1 (f1 - 1) / (2 (f2 + 1))   (Chao, 1984)

Modes count by the mass they have: a thousand optima of negligible mass do not matter.

References:
  Good (1953), The population frequencies of species and the estimation of population parameters,
  Biometrika 40. Chao (1984), Nonparametric estimation of the number of classes in a population,
  Scandinavian Journal of Statistics 11 (the bias-corrected form of Chao, 2005).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import betaincinv

from gmmvi_ext.constraints.coordinate_map import AnyMap
from gmmvi_ext.math.symmetric import cholesky_of

__all__ = ["Catalog", "Mode", "distinct", "estimated_number", "unseen_limit"]

SAME_POSITION = 1e-2  # in units of the width searched: surely the same optimum
MAX_RATIO = 3.0  # nats by which a density may exceed that of its modes' Gaussians
COPIES = 0.01  # relative difference of widths up to which modes are copies of each other
MAX_ELEMENTS = 8_000_000  # of temporary arrays
NEGLIGIBLE = 1e-3  # share of the mass of all modes below which a mode does not matter


class Mode(NamedTuple):
    """One mode.

    Attributes:
      loc: [D].
      scale_tril: Cholesky factor of the inverse of minus the Hessian there, narrowed where the mode
        is bent (`laplace.fitting_gaussians`), [D, D].
      log_mass: ELBO of that Gaussian, a lower bound of the log of the mass around.
      log_prob: log density at `loc`.
      num_found: searches that ended here.
    """

    loc: np.ndarray
    scale_tril: np.ndarray
    log_mass: float
    log_prob: float
    num_found: int


class Catalog:
    """Modes, heaviest first, and the number of searches behind them.

    Args:
      modes: in any order.
      num_searches: searches that came to rest.
    """

    def __init__(self, modes: Sequence[Mode] = (), num_searches: int = 0):
        self.modes = sorted(modes, key=lambda mode: -mode.log_mass)
        self.num_searches = num_searches

    @property
    def shares(self) -> np.ndarray:
        """Masses of the modes, as shares of their sum, [M]."""
        log_mass = np.array([mode.log_mass for mode in self.modes])
        if not np.isfinite(log_mass).any():
            return np.zeros(len(log_mass))
        return np.exp(log_mass - np.logaddexp.reduce(log_mass))

    @property
    def relevant(self) -> list[Mode]:
        """The modes that matter."""
        shares = self.shares
        return [mode for mode, share in zip(self.modes, shares, strict=True) if share > NEGLIGIBLE]

    @property
    def new_mode_chance(self) -> float:
        """Estimate of the chance that the next search ends in a mode that is not known."""
        if self.num_searches == 0:
            return 1.0
        return sum(mode.num_found == 1 for mode in self.relevant) / self.num_searches

    @property
    def new_mode_limit(self) -> float:
        """Upper 95 % limit of that chance: what the number of searches can support."""
        return unseen_limit(sum(mode.num_found == 1 for mode in self.relevant), self.num_searches)

    @property
    def estimated_number(self) -> float:
        """Lower estimate of the number of modes that matter."""
        return estimated_number([mode.num_found for mode in self.relevant])

    @property
    def log_widths(self) -> np.ndarray:
        """Geometric mean of the standard deviations of each mode that matters, its log, [M]."""
        return np.array([np.log(np.diagonal(mode.scale_tril)).mean() for mode in self.relevant])

    @property
    def are_copies(self) -> bool:
        """Whether the modes that matter have equal widths, as those of one symmetry have."""
        return len(self.relevant) < 2 or bool(np.ptp(self.log_widths) <= COPIES)

    def locations(self) -> np.ndarray:
        """Of the modes that matter, [M, D]."""
        return np.array([mode.loc for mode in self.relevant])

    def squared_distances(self, points: np.ndarray) -> np.ndarray:
        """Mahalanobis distances of points [n, D] to the modes, [M, n]."""
        loc = np.array([mode.loc for mode in self.modes])  # [M, D]
        inverse = np.linalg.inv(np.array([mode.scale_tril for mode in self.modes]))
        num_parts = max(1, -(-len(points) * loc.size // MAX_ELEMENTS))
        parts = []
        for part in np.array_split(points, num_parts):
            z = inverse @ (part - loc[:, np.newaxis]).swapaxes(1, 2)  # [M, D, n]
            parts.append(np.sum(z * z, axis=1))
        return np.concatenate(parts, axis=1)

    def matched(self, points: np.ndarray) -> np.ndarray:
        """Index of the nearest mode whose bulk holds each point [n, D], -1 for none, [n]."""
        if not self.modes or not len(points):
            return np.full(len(points), -1)
        square = self.squared_distances(points)
        return np.where(square.min(axis=0) <= _bulk(points.shape[1]), square.argmin(axis=0), -1)

    def log_prob(self, points: np.ndarray) -> np.ndarray:
        """Log density of the modes' Gaussians, with their masses, at points [n, D], [n]."""
        return self._log_prob(self.squared_distances(points), points.shape[1])

    def covers(self, points: np.ndarray, log_prob: np.ndarray) -> np.ndarray:
        """Which points [n, D] of this log density [n] lie in the bulk of a mode, as dense as it.

        In many dimensions the bulk of a mode reaches to other ones, which are denser there. Around
        its top it is as dense as it is there; the Gaussian of a skewed one lies below that.
        """
        if not self.modes or not len(points):
            return np.zeros(len(points), bool)
        square, dim = self.squared_distances(points), points.shape[1]
        is_near = square.min(axis=0) <= _bulk(dim)
        height = np.array([mode.log_prob for mode in self.modes])[:, np.newaxis]
        density = np.maximum(self._log_prob(square, dim), (height - 0.5 * square).max(axis=0))
        return is_near & (log_prob <= density + MAX_RATIO)

    def _log_prob(self, square: np.ndarray, dim: int) -> np.ndarray:
        log_det = [np.log(np.diagonal(mode.scale_tril)).sum() for mode in self.modes]
        top = np.array([mode.log_mass for mode in self.modes]) - log_det
        top -= 0.5 * dim * np.log(2 * np.pi)
        return np.logaddexp.reduce(top[:, np.newaxis] - 0.5 * square, axis=0)

    def with_ends(self, ends: np.ndarray, new: Sequence[Mode]) -> "Catalog":
        """After further searches.

        Args:
          ends: where those that came to rest ended, [n, D]; ends in no mode do not count.
          new: modes among them that are not in the catalog; each is taken once.
        """
        grown = Catalog([*self.modes, *new], self.num_searches)
        return grown.with_counts(grown.matched(ends))

    def with_counts(self, index: np.ndarray) -> "Catalog":
        """After further searches of which is known in which mode they end [n], -1 for in none."""
        counts = np.bincount(index[index >= 0], minlength=len(self.modes))
        modes = [
            mode._replace(num_found=mode.num_found + int(count))
            for mode, count in zip(self.modes, counts, strict=True)
        ]
        return Catalog(modes, self.num_searches + int(counts.sum()))

    def in_coordinates(self, coordinate_map: AnyMap) -> "Catalog":
        """The same modes in the coordinates of a map; their masses stay what they are."""
        if not self.modes:
            return self
        loc = np.array([mode.loc for mode in self.modes])
        loc = coordinate_map.inverse(tf.constant(loc, tf.float64)).numpy()
        factors = np.array([mode.scale_tril for mode in self.modes])
        factors = cholesky_of(np.linalg.solve(coordinate_map.jacobians(loc), factors))
        log_det = coordinate_map.log_det(tf.constant(loc)).numpy()
        moved = zip(self.modes, loc, factors, log_det, strict=True)
        modes = [
            mode._replace(loc=place, scale_tril=factor, log_prob=mode.log_prob + float(extra))
            for mode, place, factor, extra in moved
        ]
        return Catalog(modes, self.num_searches)

    def as_dict(self) -> dict:
        """The figures, as plain data."""
        return {
            "num_searches": self.num_searches,
            "num_modes": len(self.relevant),
            "new_mode_chance": self.new_mode_chance,
            "new_mode_limit": self.new_mode_limit,
            "estimated_number": self.estimated_number,
            "modes": [
                {
                    "location": mode.loc.tolist(),
                    "log_mass": float(mode.log_mass),
                    "num_found": mode.num_found,
                }
                for mode in self.relevant
            ],
        }


def _bulk(dim: int) -> float:
    """Squared radius within which nearly all of a Gaussian lies."""
    return dim + 4.0 * np.sqrt(2.0 * dim)


def distinct(points: np.ndarray, scale: np.ndarray, tolerance: float = SAME_POSITION) -> np.ndarray:
    """Indices of points [n, D] further than `tolerance` times `scale` from all before them."""
    kept: list[int] = []
    for index, point in enumerate(points):
        if not kept or np.max(np.abs(points[kept] - point) / scale, axis=1).min() > tolerance:
            kept.append(index)
    return np.array(kept, int)


def estimated_number(counts: Sequence[int]) -> float:
    """Lower estimate of a number of classes from how often each was met (Chao)."""
    once, twice = (sum(count == number for count in counts) for number in (1, 2))
    return len(counts) + once * (once - 1) / (2.0 * (twice + 1))


def unseen_limit(num_met: int, num_searches: int, level: float = 0.95) -> float:
    """Upper limit of a share of which `num_met` in `num_searches` draws were seen.

    Clopper and Pearson (1934), one-sided, at confidence `level`; 1 without any draws.
    """
    if num_searches == 0 or num_met >= num_searches:
        return 1.0
    return float(betaincinv(num_met + 1, num_searches - num_met, level))
