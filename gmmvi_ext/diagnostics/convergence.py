"""Has the ELBO stopped rising? A test that knows about Monte Carlo noise.

The last `2 * window` estimates are split in two halves. With m_1, m_2 their means and s the
standard error of the difference, the gain is `m_2 - m_1`, and the run counts as converged once even
the upper confidence limit of the gain stays below the tolerance:

    max(m_2 - m_1, 0) + z * s < tolerance

so a noisy run goes on until the noise can no longer hide a gain of that size.
"""

import math
from typing import NamedTuple

import numpy as np

__all__ = ["Convergence", "check_convergence"]

Z_95 = 1.645  # one-sided 95 % normal quantile


class Convergence(NamedTuple):
    """Outcome of `check_convergence`.

    Attributes:
      converged: whether a gain of `tolerance` is excluded.
      gain: ELBO gained from the first to the second half of the window, in nats.
      gain_se: its standard error.
      reason: one sentence.
    """

    converged: bool
    gain: float
    gain_se: float
    reason: str


def check_convergence(
    elbos,
    standard_errors=None,
    *,
    window: int = 10,
    tolerance: float = 0.01,
    confidence_z: float = Z_95,
) -> Convergence:
    """Tests whether the ELBO still rises.

    Args:
      elbos: estimates in the order of the run, [T]; non-finite ones count as "not converged".
      standard_errors: their Monte Carlo errors [T], or None to use the scatter alone.
      window: estimates in each half.
      tolerance: gain over one window, in nats, that is worth going on for.
      confidence_z: normal quantile of the upper limit.
    """
    if window < 2:
        raise ValueError(f"`window` must be at least 2, got {window}.")
    if not tolerance > 0:
        raise ValueError(f"`tolerance` must be positive, got {tolerance}.")
    values = np.asarray(elbos, np.float64)[-2 * window :]
    if values.size < 2 * window:
        reason = f"only {values.size} of the {2 * window} ELBO estimates that the test needs"
        return Convergence(False, math.nan, math.nan, reason)
    if not np.isfinite(values).all():
        return Convergence(
            False, math.nan, math.nan, "an ELBO estimate in the window is not finite"
        )
    early, late = values[:window], values[window:]
    gain = float(late.mean() - early.mean())
    variance = (early.var(ddof=1) + late.var(ddof=1)) / window
    if standard_errors is not None:
        errors = np.asarray(standard_errors, np.float64)[-2 * window :]
        # Estimates of one run that happen to agree must not claim less noise than they have.
        variance = max(variance, float((errors**2).sum()) / window**2)
    gain_se = math.sqrt(variance)
    limit = max(gain, 0.0) + confidence_z * gain_se
    converged = limit < tolerance
    sign = "<" if converged else ">="
    reason = (
        f"gain over the last {window} estimates {gain:+.3g} +- {gain_se:.2g} nats, "
        f"upper limit {limit:.3g} {sign} {tolerance:g}"
    )
    return Convergence(converged, gain, gain_se, reason)
