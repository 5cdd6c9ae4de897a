"""Numbers drawn from importance ratios: effective sample size, log evidence, averages.

With draws `x_s ~ q` and log ratios `l_s = log p~(x_s) - log q(x_s)`:

  ESS      = (sum_s w_s)^2 / sum_s w_s^2,       w_s = exp(l_s)
  log Z    = log mean_s w_s,                    s.e. by the delta method
  ELBO     = mean_s l_s
  log Z - ELBO estimates KL(q || p).
"""

import numpy as np

from gmmvi_ext.diagnostics.psis import smooth_log_ratios
from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.ranges import require, require_switches
from gmmvi_ext.types import Estimate

__all__ = [
    "effective_sample_size",
    "elbo",
    "log_evidence",
    "weighted_mean",
]


def effective_sample_size(log_weights: np.ndarray) -> float:
    """Effective number of draws behind `log_weights` [S], normalized or not.

    Example:
        >>> from gmmvi_ext.diagnostics import effective_sample_size
        >>> round(effective_sample_size(np.zeros(100)), 3)
        100.0
        >>> round(effective_sample_size(np.log([0.9, 0.05, 0.05])), 3)
        1.227
    """
    weights = _scaled(log_weights)
    total = weights.sum()
    return float(total**2 / (weights**2).sum()) if total > 0 else 0.0


def elbo(log_ratios: np.ndarray) -> Estimate[float]:
    """Evidence lower bound (higher is better) from finite log ratios [S] of draws from q.

    Example:
        >>> from gmmvi_ext.diagnostics import elbo
        >>> estimate = elbo(np.array([1.0, 2.0, 3.0]))
        >>> estimate.value, round(estimate.standard_error, 3)
        (2.0, 0.577)
    """
    ratios = as_numbers(log_ratios, "`log_ratios`")
    if ratios.size < 2:
        return Estimate(float(ratios.mean()) if ratios.size else np.nan, np.nan)
    return Estimate(float(ratios.mean()), float(ratios.std(ddof=1) / np.sqrt(ratios.size)))


def log_evidence(log_ratios: np.ndarray, *, smooth: bool = True) -> Estimate[float]:
    """log of the normalizer of `p~` by importance sampling.

    Args:
      log_ratios: `log p~(x_s) - log q(x_s)` at draws of q, [S]; `-inf` allowed.
      smooth: use Pareto-smoothed ratios (less variance for a small bias when the tail is heavy).

    Returns:
      estimate and standard error of the logarithm; the error means nothing where k-hat is above
      its threshold.

    Example:
        >>> from gmmvi_ext.diagnostics import log_evidence
        >>> estimate = log_evidence(np.log([1.0, 2.0, 3.0]), smooth=False)
        >>> round(float(np.exp(estimate.value)), 3)  # the mean ratio
        2.0
    """
    require_switches(smooth=smooth)
    ratios = as_numbers(log_ratios, "`log_ratios`")
    top = ratios.max(initial=-np.inf)
    if not np.isfinite(top):
        return Estimate(-np.inf, np.nan)
    if smooth:
        ratios = smooth_log_ratios(ratios).log_weights
    weights = np.exp(ratios - top)
    mean = weights.mean()
    error = weights.std(ddof=1) / np.sqrt(weights.size) / mean if weights.size > 1 else np.nan
    return Estimate(float(top + np.log(mean)), float(error))


def weighted_mean(values: np.ndarray, log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Self-normalized importance average.

    Args:
      values: [S, ...].
      log_weights: [S], normalized or not; `-inf` is a zero weight.

    Returns:
      the average and its standard error (delta method), both of shape `values.shape[1:]`.

    Example:
        >>> from gmmvi_ext.diagnostics import weighted_mean
        >>> average, standard_error = weighted_mean(np.array([0.0, 1.0]), np.log([1.0, 3.0]))
        >>> float(average)
        0.75
    """
    values = as_numbers(values, "`values`")
    num = np.size(log_weights)
    require(values.shape[:1] == (num,), "values", f"one row for each of {num} weights", values)
    weights = _scaled(log_weights)
    weights = weights / weights.sum()
    column = weights.reshape((-1,) + (1,) * (values.ndim - 1))
    mean = (column * values).sum(0)
    return mean, np.sqrt((column**2 * (values - mean) ** 2).sum(0))


def _scaled(log_weights: np.ndarray) -> np.ndarray:
    """exp(log_weights - max); all zero if every weight is zero."""
    log_weights = as_numbers(log_weights, "`log_weights`")
    top = log_weights.max(initial=-np.inf)
    return np.exp(log_weights - top) if np.isfinite(top) else np.zeros_like(log_weights)
