"""Pareto-smoothed importance sampling: smoothed log weights and the tail index k-hat.

The largest importance ratios behave like draws of a generalized Pareto distribution whose shape `k`
says how many moments they have. The fit (a posterior mean over a grid, Zhang and Stephens) gives
k-hat; the tail is then replaced by the expected order statistics of the fitted distribution.
Everything here is NumPy in float64: it runs once per report on the host.

References:
  Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72).
  Zhang, Stephens (2009), A new and efficient estimation method for the generalized Pareto
  distribution, Technometrics 51(3).
"""

import math
from typing import NamedTuple

import numpy as np

from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.ranges import require, require_count

__all__ = [
    "ParetoSmoothed",
    "fit_generalized_pareto",
    "khat_threshold",
    "pareto_smooth",
    "smooth_log_ratios",
]

MIN_TAIL = 5  # a Pareto fit to fewer exceedances says nothing: k-hat is reported as infinite
GRID_PRIOR = 3.0  # scale of the grid's prior, the value recommended by Zhang and Stephens
SHAPE_PRIOR_COUNT = 10.0  # k-hat is shrunk to 0.5 with the weight of ten observations
UNSEEN_FACTOR = 100.0  # how many times more draws the fitted tail is asked about
MAX_KHAT_THRESHOLD = 0.7  # above it the needed sample size explodes whatever S is


class ParetoSmoothed(NamedTuple):
    """Result of `pareto_smooth`.

    Attributes:
      log_weights: smoothed, normalized log weights, [S]; their exponentials sum to one.
      khat: estimated tail index; lower is better, compare with `khat_threshold`.
      unseen: share of the weight that the fitted tail has between the largest of S draws and the
        largest of 100 S; infinite where no tail could be fitted.

    Example:
        >>> from gmmvi_ext.diagnostics import pareto_smooth
        >>> log_ratios = np.random.default_rng(0).normal(size=1000)
        >>> smoothed = pareto_smooth(log_ratios)
        >>> round(float(np.exp(smoothed.log_weights).sum()), 6), smoothed.khat < 0.7
        (1.0, True)
    """

    log_weights: np.ndarray
    khat: float
    unseen: float = math.inf


def khat_threshold(num_samples: int) -> float:
    """Largest k-hat for which estimates from `num_samples` draws are reliable.

    `min(1 - 1 / log10 S, 0.7)`: with 2200 draws or more it is 0.7.

    Example:
        >>> from gmmvi_ext.diagnostics import khat_threshold
        >>> round(khat_threshold(100), 3), khat_threshold(10_000)
        (0.5, 0.7)
    """
    require_count("num_samples", num_samples)
    if num_samples <= 10:
        return 0.0
    return min(1.0 - 1.0 / math.log10(num_samples), MAX_KHAT_THRESHOLD)


def fit_generalized_pareto(exceedances: np.ndarray) -> tuple[float, float]:
    """Shape and scale of a generalized Pareto distribution with location zero.

    Args:
      exceedances: positive values, [M], in any order.

    Returns:
      `(k, sigma)`; `k > 0` is a heavy tail. `k` is not shrunk here.

    Example:
        >>> from gmmvi_ext.diagnostics import fit_generalized_pareto
        >>> draws = np.random.default_rng(0).pareto(2.0, size=10_000)  # tail index 1 / 2
        >>> k, sigma = fit_generalized_pareto(draws)
        >>> round(k, 1), round(sigma, 1)
        (0.5, 0.5)
    """
    x = as_numbers(exceedances, "`exceedances`")
    require(x.ndim == 1, "exceedances", "numbers [M]", exceedances)
    x, num = np.sort(x), x.size
    if num < MIN_TAIL:
        return math.inf, math.nan
    quartile = x[int(num / 4 + 0.5) - 1]
    if not quartile > 0 or not np.isfinite(x[-1]):
        return math.inf, math.nan
    grid_size = 30 + int(math.sqrt(num))
    j = np.arange(1, grid_size + 1)
    theta = 1.0 / x[-1] + (1.0 - np.sqrt(grid_size / (j - 0.5))) / (GRID_PRIOR * quartile)
    shape = np.log1p(-theta[:, None] * x).mean(1)  # profile likelihood: k given theta
    log_lik = num * (np.log(-theta / shape) - shape - 1.0)
    posterior = np.exp(log_lik - log_lik.max())
    theta_hat = float(theta @ posterior / posterior.sum())
    k = float(np.log1p(-theta_hat * x).mean())
    return k, -k / theta_hat


def pareto_smooth(log_ratios: np.ndarray) -> ParetoSmoothed:
    """Smooth the tail of importance ratios and estimate its index.

    Args:
      log_ratios: `log p(x_s) - log q(x_s)` up to a constant, [S]; `-inf` is a zero weight.

    Returns:
      smoothed normalized log weights and k-hat. Ratios that are all equal give k-hat zero; a tail
      of fewer than five values gives infinity and leaves the weights as they are.

    Raises:
      ValueError: for NaN or `+inf`, or if every ratio is zero.

    Example:
        >>> from gmmvi_ext.diagnostics import khat_threshold, pareto_smooth
        >>> x = np.random.default_rng(0).normal(size=2000)  # draws of q = N(0, 1)
        >>> def log_ratios(scale):  # of a target N(0, scale^2)
        ...     return 0.5 * x**2 - 0.5 * (x / scale) ** 2
        >>> narrow, wide = pareto_smooth(log_ratios(0.8)), pareto_smooth(log_ratios(3.0))
        >>> narrow.khat < khat_threshold(2000) < wide.khat
        True
    """
    smoothed = smooth_log_ratios(log_ratios)
    total = _logsumexp(smoothed.log_weights)
    return smoothed._replace(log_weights=smoothed.log_weights - total)


def smooth_log_ratios(log_ratios: np.ndarray) -> ParetoSmoothed:
    """As `pareto_smooth`, but the ratios keep their scale: all below the tail are untouched."""
    ratios = as_numbers(log_ratios, "`log_ratios`")
    if ratios.ndim != 1 or ratios.size == 0:
        raise ValueError(f"`log_ratios` must be a non-empty vector, got shape {ratios.shape}.")
    if np.isnan(ratios).any() or np.isposinf(ratios).any():
        raise ValueError(
            "`log_ratios` holds NaN or +inf. Drop such draws, or give them zero weight (-inf)."
        )
    if np.isneginf(ratios).all():
        raise ValueError("`log_ratios` are all -inf: no draw lies where the target has mass.")
    top = ratios.max()
    shifted = ratios - top
    num = shifted.size
    tail_size = min(math.ceil(min(0.2 * num, 3.0 * math.sqrt(num))), num - 1)
    khat, unseen = math.inf, math.inf
    if np.ptp(shifted) == 0.0:
        khat = unseen = 0.0
    elif tail_size >= MIN_TAIL:
        shifted, khat, unseen = _smooth_tail(shifted, tail_size)
    return ParetoSmoothed(shifted + top, khat, unseen)


def _smooth_tail(shifted: np.ndarray, tail_size: int) -> tuple[np.ndarray, float, float]:
    """Replaces the `tail_size` largest of `shifted` (maximum zero); also k-hat and `unseen`."""
    order = np.argsort(shifted, kind="stable")
    tail = order[-tail_size:]
    cutoff = max(shifted[order[-tail_size - 1]], math.log(np.finfo(np.float64).tiny))
    tail = tail[shifted[tail] > cutoff]  # ties with the cutoff are no exceedances
    if tail.size < MIN_TAIL:
        # The values above the cutoff are too few because of ties or zero weights.
        return shifted, math.inf, math.inf
    threshold = math.exp(cutoff)
    k, sigma = fit_generalized_pareto(np.exp(shifted[tail]) - threshold)
    if not math.isfinite(k):
        return shifted, math.inf, math.inf
    count = tail.size
    k = (k * count + 0.5 * SHAPE_PRIOR_COUNT) / (count + SHAPE_PRIOR_COUNT)
    probs = (np.arange(count) + 0.5) / count
    smoothed = shifted.copy()
    smoothed[tail] = np.log(_pareto_quantile(probs, k, sigma) + threshold)
    unseen = _unseen_weight(k, sigma, threshold, count) / np.exp(shifted).sum()
    return np.minimum(smoothed, 0.0), k, unseen  # never above the largest raw ratio


def _unseen_weight(k: float, sigma: float, threshold: float, count: int) -> float:
    """Weight of the tail of `count` draws beyond its 1 - 1/count quantile, up to 100 times rarer.

    A heavy shape alone says nothing of how much the tail can hold: that takes its scale as well.
    """
    edges = np.geomspace(1.0 / (UNSEEN_FACTOR * count), 1.0 / count, 200)  # exceedance probability
    middle = np.sqrt(edges[1:] * edges[:-1])
    with np.errstate(over="ignore"):
        weights = threshold + _pareto_quantile(1.0 - middle, k, sigma)
    return float(count * weights @ np.diff(edges))


def _pareto_quantile(probs: np.ndarray, k: float, sigma: float) -> np.ndarray:
    if abs(k) < 1e-12:
        return -sigma * np.log1p(-probs)
    return sigma * np.expm1(-k * np.log1p(-probs)) / k


def _logsumexp(values: np.ndarray) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum()))
