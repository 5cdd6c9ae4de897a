"""Draws of q together with the target's values: the raw material of every check."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.random import as_seed, substream
from gmmvi_ext.ranges import require_count
from gmmvi_ext.targets.base import Target

__all__ = [
    "ScoredDraws",
    "answered",
    "evaluate_target",
    "sample_mixture",
    "score_draws",
]

CHUNK = 5000  # draws per evaluation: bounds memory whatever the number of components
ATTEMPTS = 4  # at a batch of points: a host function may fail for the moment


class ScoredDraws(NamedTuple):
    """Draws of a mixture with both log densities, on the host in float64.

    Attributes:
      x: unconstrained draws, [S, D].
      component_index: which component drew each, [S].
      log_q: log density of the mixture, [S].
      target_log_prob: unnormalized log density of the target, [S]; may hold NaN and infinities.
    """

    x: np.ndarray
    component_index: np.ndarray
    log_q: np.ndarray
    target_log_prob: np.ndarray

    @property
    def log_ratios(self) -> np.ndarray:
        """log p~ - log q with NaN and +inf turned into zero weight, [S]."""
        ratios = self.target_log_prob - self.log_q
        return np.where(np.isnan(ratios) | np.isposinf(ratios), -np.inf, ratios)

    @property
    def is_finite(self) -> np.ndarray:
        """Which draws have a finite target value, [S]."""
        return np.isfinite(self.target_log_prob)

    def smoothed(self) -> diagnostics.ParetoSmoothed:
        """Normalized Pareto-smoothed weights and k-hat."""
        return diagnostics.pareto_smooth(self.log_ratios)


def sample_mixture(mixture: Mixture, num_samples: int, seed) -> tuple[np.ndarray, np.ndarray]:
    """Draws [S, D] and component indices [S] in bounded memory.

    Up to `CHUNK` draws they are those of the exported `sample` with the same seed.
    """
    require_count("num_samples", num_samples)
    seed = as_seed(seed)
    pieces = []
    for start in range(0, num_samples, CHUNK):
        part = tf.random.experimental.stateless_fold_in(seed, start) if start else seed
        pieces.append(mixtures.sample(mixture, min(CHUNK, num_samples - start), part))
    x, index = zip(*pieces, strict=True)
    return np.concatenate([each.numpy() for each in x]), np.concatenate([i.numpy() for i in index])


def score_draws(mixture: Mixture, target: Target | None, num_samples: int, seed) -> ScoredDraws:
    """Fresh draws of `mixture`, evaluated under it and under `target` (NaN without one)."""
    x, index = sample_mixture(mixture, num_samples, seed)
    log_q = np.concatenate(
        [mixtures.log_prob(mixture, tf.constant(part)).numpy() for part in _chunks(x)]
    )
    values = np.full(len(x), np.nan) if target is None else evaluate_target(target, x, seed)
    return ScoredDraws(
        x.astype(np.float64), index, log_q.astype(np.float64), values.astype(np.float64)
    )


def evaluate_target(target: Target, x: np.ndarray, seed) -> np.ndarray:
    """Target log densities of `x` [S, D] in chunks, exact ones where the target has them, [S]."""
    target = target.exact or target
    salted = substream(seed, "target")
    values = []
    for number, part in enumerate(_chunks(x)):
        points = tf.cast(tf.constant(part), target.dtype)
        part_seed = tf.random.experimental.stateless_fold_in(salted, number)
        values.append(answered(target, points, part_seed))
    return np.concatenate(values)


def answered(target: Target, points: tf.Tensor, seed) -> np.ndarray:
    """Values at `points`, [N]; a host function that gives none at all is asked again."""
    for _ in range(1 if target.is_graph_safe else ATTEMPTS):
        value = np.asarray(target.values(points, seed))
        if not np.isnan(value).all():
            break
    return value


def _chunks(x: np.ndarray):
    return (x[start : start + CHUNK] for start in range(0, len(x), CHUNK))
