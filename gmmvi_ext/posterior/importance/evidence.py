"""The evidence and its standard error from draws of the mixture and some with heavy tails.

Draws of a mixture q do not show what it misses: log mean p~/q is then too low by more than its own
standard error says. M further draws of a heavy-tailed r_t beside the N of q reach farther, and all
of them together are draws of r = (N q + M r_t) / (N + M), stratified. With w = p~/r and the control
variate h = q/r - 1, whose expectation is zero,

    Z = mean(w - b h),      b = cov(w, h) / var(h) within the strata

is unbiased to first order, and exact with any draws if q = p. The standard error is that of the
strata, widened by half of the distance between this estimate and the one from the draws of q alone,
and by the rounding of the log densities.

References:
  Owen, Zhou (2000), Safe and effective importance sampling, Journal of the American Statistical
  Association 95(449).
"""

import math
from typing import NamedTuple

import numpy as np

from gmmvi_ext import diagnostics
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.posterior.importance.defensive import heavy_draws, log_densities
from gmmvi_ext.posterior.importance.draws import ScoredDraws, evaluate_target
from gmmvi_ext.targets.base import Target
from gmmvi_ext.types import Estimate

__all__ = ["Evidence", "robust_log_evidence", "stratified_log_evidence"]

HEAVY_SHARE = 0.1  # of the draws of q: evaluations spent beside them
WIDENING = 0.5  # of the distance between the two estimates


class Evidence(NamedTuple):
    """log Z by both kinds of draws.

    Attributes:
      value, standard_error: from all draws together; the error is wider where the two disagree.
      plain: from the draws of the mixture alone.
    """

    value: float
    standard_error: float
    plain: Estimate[float]

    @property
    def unseen(self) -> float:
        """How much of the mass the mixture's own draws may leave out, as far as heavy tails reach.

        Three standard errors and the distance of the two estimates: a measurement, where the shape
        of a tail is an extrapolation.
        """
        bound = abs(self.value - self.plain.value) + 3.0 * self.standard_error
        return bound if math.isfinite(bound) else math.inf

    @property
    def missed(self) -> float:
        """Share of the mass that only heavy-tailed draws find, less three standard errors of what
        the mixture's own draws say; 0 to 1."""
        gain = self.value - self.plain.value - 3.0 * self.plain.standard_error
        return -math.expm1(-max(gain, 0.0)) if math.isfinite(gain) else 0.0


def robust_log_evidence(
    mixture: Mixture, target: Target, draws: ScoredDraws, seed, *, share: float = HEAVY_SHARE
) -> Evidence:
    """log Z and its standard error from `draws` of the mixture and some with heavy tails.

    Args:
      mixture: q.
      target: log density; evaluated at `share` as many points again.
      draws: of q, scored.
      seed: of the heavy-tailed draws.
      share: heavy-tailed draws for each draw of q.
    """
    plain = diagnostics.log_evidence(draws.log_ratios)
    if not math.isfinite(plain.value):
        return Evidence(*plain, plain)
    num_plain = len(draws.x)
    num_heavy = max(2, round(share * num_plain))
    heavy = heavy_draws(mixture, num_heavy, seed)[0].astype(draws.x.dtype)
    values = evaluate_target(target, heavy, seed).astype(np.float64)
    x = np.concatenate([draws.x, heavy])
    log_q, log_r = log_densities(mixture, x, num_heavy / len(x))
    # Of the draws of q the density is known already, as the target's rounding saw them.
    log_p = np.concatenate([draws.target_log_prob, values])
    log_p = np.where(np.isnan(log_p) | np.isposinf(log_p), -np.inf, log_p)
    pooled = stratified_log_evidence(log_p - log_r, log_q - log_r, num_plain)
    if not math.isfinite(pooled.value):
        return Evidence(*plain, plain)
    distance = WIDENING * (pooled.value - plain.value)
    formats = (target.dtype, mixture.dtype)
    epsilon = max(np.finfo(each.as_numpy_dtype).eps for each in formats)
    finite = draws.is_finite
    size = np.median(np.abs(draws.target_log_prob[finite]) + np.abs(draws.log_q[finite]))
    error = math.sqrt(pooled.standard_error**2 + distance**2 + (epsilon * size) ** 2)
    return Evidence(pooled.value, error, plain)


def stratified_log_evidence(
    log_weights: np.ndarray, log_share: np.ndarray, num_first: int
) -> Estimate[float]:
    """log Z from two strata with the share of the first one's density as a control variate.

    Args:
      log_weights: log p~/r, [S]; the first `num_first` are draws of q.
      log_share: log q/r, [S].
      num_first: size of the first stratum.
    """
    top = log_weights.max(initial=-np.inf)
    if not np.isfinite(top):
        return Estimate(-math.inf, math.nan)
    w, h = np.exp(log_weights - top), np.expm1(log_share)
    strata = (slice(num_first), slice(num_first, None))
    centered = [(w[s] - w[s].mean(), h[s] - h[s].mean()) for s in strata]
    square = sum(float(dh @ dh) for _, dh in centered)
    slope = sum(float(dw @ dh) for dw, dh in centered) / square if square > 0 else 0.0
    rest = w - slope * h
    total = rest.mean()
    if not total > 0:
        return Estimate(-math.inf, math.nan)
    variance = sum(rest[s].size * rest[s].var(ddof=1) for s in strata)
    return Estimate(float(top + np.log(total)), math.sqrt(variance) / rest.size / total)
