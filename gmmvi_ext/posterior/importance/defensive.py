"""Draws with a share of heavy tails: what a mixture's own draws cannot see.

    r(x) = (1 - a) q(x) + a sum_k w_k t_nu(x; mu_k, Sigma_k)

A mixture with tails that are too light seldom draws where it is wrong, so its own importance ratios
look better than they are. The ratios p~ / r are small wherever the heavy tails reach, and cost at
most a share `a` of the ESS of a perfect fit. The draws are stratified: the first
(1 - a) S come from q alone, so that q itself can be judged on them.

References:
  Hesterberg (1995), Weighted average importance sampling and defensive mixture distributions,
  Technometrics 37(2).
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.random import substream
from gmmvi_ext.posterior.importance.draws import (
    ScoredDraws,
    evaluate_target,
    sample_mixture,
)
from gmmvi_ext.ranges import require_count
from gmmvi_ext.targets.base import Target

__all__ = [
    "DEFENSIVE_SHARE",
    "DefensiveDraws",
    "defensive_draws",
    "heavy_draws",
    "log_densities",
    "log_proposal",
]

DEFENSIVE_SHARE = 0.1  # of the draws; the ESS of a perfect fit falls by as much
DEGREES_OF_FREEDOM = 3.0  # the fewest with a finite variance
CHUNK = 5000


class DefensiveDraws(NamedTuple):
    """Stratified draws of r.

    Attributes:
      pooled: all draws, with log r in the place of the log density of the mixture; for evidence,
        expectations and resampling.
      plain: those drawn from q alone, with log q; for the ELBO, and for the verdict on q.
    """

    pooled: ScoredDraws
    plain: ScoredDraws


def defensive_draws(
    mixture: Mixture, target: Target, num_samples: int, seed, *, share: float = DEFENSIVE_SHARE
) -> DefensiveDraws:
    """Draws of r and both log densities; `num_samples` target evaluations.

    Args:
      mixture: q.
      target: log density.
      num_samples: S.
      seed: of the draws.
      share: a, strictly between 0 and 1.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"`share` must lie strictly between 0 and 1, got {share}.")
    require_count("num_samples", num_samples, at_least=2)
    num_heavy = max(1, round(share * num_samples))
    num_plain = num_samples - num_heavy
    x, index = sample_mixture(mixture, num_plain, seed)
    salted = substream(seed, "heavy tails")
    heavy, heavy_index = heavy_draws(mixture, num_heavy, salted)
    both = np.concatenate([x, heavy.astype(x.dtype)])
    values = evaluate_target(target, both, seed).astype(np.float64)
    log_q, log_r = log_densities(mixture, both, num_heavy / num_samples)
    every = np.concatenate([index, heavy_index])
    pooled = ScoredDraws(both.astype(np.float64), every, log_r, values)
    return DefensiveDraws(
        pooled,
        ScoredDraws(pooled.x[:num_plain], index, log_q[:num_plain], values[:num_plain]),
    )


def log_proposal(mixture: Mixture, x: np.ndarray, share: float = DEFENSIVE_SHARE) -> np.ndarray:
    """log r at x [N, D], [N]."""
    return log_densities(mixture, x, share)[1]


def heavy_draws(mixture: Mixture, num_samples: int, seed) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian draws pushed away from their component's mean by a chi-square factor."""
    x, index = sample_mixture(mixture, num_samples, seed)
    rng = np.random.default_rng(np.asarray(seed).astype(np.uint32).tolist())
    factor = np.sqrt(DEGREES_OF_FREEDOM / rng.chisquare(DEGREES_OF_FREEDOM, num_samples))
    loc = np.asarray(mixture.components.loc)[index]
    return loc + factor[:, np.newaxis] * (x - loc), index


def log_densities(mixture: Mixture, x: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """log q and log r at x [N, D], [N] each, in float64."""
    entropy = np.asarray(mixtures.component_entropy(mixture.components), np.float64)  # [K]
    log_weights = np.asarray(mixture.log_weights, np.float64)
    pieces = []
    for start in range(0, len(x), CHUNK):
        points = tf.constant(x[start : start + CHUNK], mixture.dtype)
        parts = mixtures.component_log_prob(mixture.components, points)  # [N, K]
        parts = np.asarray(parts, np.float64)
        log_q = np.logaddexp.reduce(log_weights + parts, axis=1)
        heavy = _student_t(parts, entropy, x.shape[1])
        log_t = np.logaddexp.reduce(log_weights + heavy, axis=1)
        log_r = np.logaddexp(math.log1p(-share) + log_q, math.log(share) + log_t)
        pieces.append(np.stack([log_q, log_r]))
    return tuple(np.concatenate(pieces, axis=1))


def _student_t(log_normal: np.ndarray, entropy: np.ndarray, dim: int) -> np.ndarray:
    """log t_nu(x_n; mu_k, Sigma_k) from log N_k(x_n) [N, K] and the entropies [K]."""
    nu = DEGREES_OF_FREEDOM
    log_det = entropy - 0.5 * dim * (1.0 + math.log(2 * math.pi))  # log |L_k|
    distance = -2.0 * (log_normal + log_det) - dim * math.log(2 * math.pi)
    constant = math.lgamma(0.5 * (nu + dim)) - math.lgamma(0.5 * nu)
    constant -= 0.5 * dim * math.log(nu * math.pi)
    tail = 0.5 * (nu + dim) * np.log1p(np.maximum(distance, 0.0) / nu)
    return constant - log_det - tail
