"""The Gaussian whose scores a target has, from few evaluations.

In whitened coordinates, with draws x = m + L z of a Gaussian,

    L^T grad log p(m + L z) = b - A z

where the target is Gaussian, too: least squares over D + 2 draws give its mean m + L A^-1 b and its
covariance L A^-1 L^T without an error, whatever its shape. Elsewhere rounds of few draws follow the
highest ELBO. Score matching (Hyvarinen, 2005); `fitting.score_matching` is the general case.
"""

import math
from typing import NamedTuple

import numpy as np

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.math.symmetric import symmetric_eigen

__all__ = ["matched_gaussian"]

LEAST_CURVATURE = 0.3  # of a Gaussian beside the one before: not twice as wide
EXACT = 0.01  # nats of spread of the log ratios, where there is nothing left to match
MAX_LOST = 0.1  # draws that are not finite for each that is


def matched_gaussian(
    counted: CountedTarget,
    loc: np.ndarray,
    factor: np.ndarray,
    budget: float,
    furthest: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean [D] and Cholesky factor [D, D]; None where draws are not finite or it leads astray.

    A round goes on from the Gaussian with the higher ELBO; one that is not bettered gets more
    draws.

    Args:
      counted: the target, with gradients.
      loc: mean of the first Gaussian, [D].
      factor: its Cholesky factor, [D, D].
      budget: what `counted.count` does not exceed.
      furthest: largest coordinate of a mean.
      rng: of the draws.
    """
    count = 2 * (len(loc) + 2)
    if counted.count + count > budget:
        return None
    best = _drawn(counted, loc, factor, count, rng)
    while (
        counted.count + count <= budget and best.spread > EXACT and len(best.noise) >= len(loc) + 2
    ):
        loc, factor = best.matched()
        if np.abs(loc).max() > furthest:
            return None
        new = _drawn(counted, loc, factor, count, rng)
        if new.elbo >= best.elbo - 0.5 * math.hypot(new.error, best.error):
            best = new
        elif counted.count + count <= budget:
            best = best.joined(_drawn(counted, best.loc, best.factor, count, rng))
    return (best.loc, best.factor) if math.isfinite(best.elbo) else None


class _ScoredDraws(NamedTuple):
    """Draws of a Gaussian with the target's scores, whitened.

    Attributes:
      loc, factor: of the Gaussian, [D] and [D, D].
      noise: standard normal numbers of the draws, [n, D].
      scores: L^T grad log p at them, [n, D].
      ratios: log p - log q up to a constant, [n].
      lost: draws that were not finite.
    """

    loc: np.ndarray
    factor: np.ndarray
    noise: np.ndarray
    scores: np.ndarray
    ratios: np.ndarray
    lost: int

    @property
    def elbo(self) -> float:
        """Up to a constant; -inf where too many draws are lost."""
        is_usable = len(self.ratios) > 0 and self.lost <= MAX_LOST * len(self.ratios)
        return float(self.ratios.mean()) if is_usable else -math.inf

    @property
    def spread(self) -> float:
        """Standard deviation of the log ratios."""
        return float(self.ratios.std()) if len(self.ratios) else math.inf

    @property
    def error(self) -> float:
        """Standard error of the ELBO."""
        return self.spread / math.sqrt(max(len(self.ratios), 1))

    def joined(self, other: "_ScoredDraws") -> "_ScoredDraws":
        """With further draws of the same Gaussian."""
        return self._replace(
            noise=np.concatenate([self.noise, other.noise]),
            scores=np.concatenate([self.scores, other.scores]),
            ratios=np.concatenate([self.ratios, other.ratios]),
            lost=self.lost + other.lost,
        )

    def matched(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean [D] and Cholesky factor [D, D] of the Gaussian with these scores."""
        regressors = np.column_stack([np.ones(len(self.noise)), self.noise])
        found = np.linalg.lstsq(regressors, self.scores, rcond=None)[0]
        curvature, axes = symmetric_eigen(-found[1:])
        curvature = np.maximum(curvature, LEAST_CURVATURE)
        loc = self.loc + self.factor @ axes @ ((axes.T @ found[0]) / curvature)
        root = self.factor @ axes / np.sqrt(curvature)
        factor = np.linalg.qr(root.T, mode="r").T  # lower triangular; signs of columns are free
        return loc, factor * np.sign(np.diag(factor))


def _drawn(
    counted: CountedTarget, loc: np.ndarray, factor: np.ndarray, count: int, rng
) -> _ScoredDraws:
    noise = rng.standard_normal((count, len(loc)))
    loss, slope = counted.loss(loc + noise @ factor.T)
    ratios = 0.5 * np.sum(noise**2, axis=1) + np.log(np.diag(factor)).sum() - loss
    is_finite = np.isfinite(ratios) & np.isfinite(slope).all(axis=1)
    lost = count - int(is_finite.sum())
    noise, scores = noise[is_finite], -slope[is_finite] @ factor
    return _ScoredDraws(loc, factor, noise, scores, ratios[is_finite], lost)
