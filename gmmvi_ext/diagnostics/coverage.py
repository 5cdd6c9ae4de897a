"""What draws of q cannot show: forward bounds and the target mass that q covers.

An ELBO, an ESS and a k-hat are computed at draws of q, so a mode that q never visits leaves no
trace in them. Where the target has an exact sampler or known modes these measures look from the
other side:

  EUBO = E_p[log p~(x) - log q(x)] >= log Z,         EUBO - log Z = KL(p || q)
  coverage = P_p(log q(x) >= c),   c the level that a fraction `mass` of q's own draws exceeds

References:
  Blessing, Jia, Esslinger, Vargas, Neumann (2024), Beyond ELBOs, ICML (EUBO, entropic coverage).
"""

from typing import Any

import numpy as np

from gmmvi_ext.diagnostics.importance import elbo
from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.ranges import Range, require
from gmmvi_ext.types import Estimate

__all__ = ["entropic_mode_coverage", "eubo", "mass_coverage"]


def eubo(target_log_prob: np.ndarray, log_q: np.ndarray) -> Estimate[float]:
    """Evidence upper bound from exact draws of the target.

    Args:
      target_log_prob: unnormalized log density at the draws, [N].
      log_q: log density of the approximation at the draws, [N].

    Returns:
      estimate and standard error; infinite where q has no mass at a draw.

    Example:
        >>> from gmmvi_ext.diagnostics import eubo
        >>> target_log_prob = np.array([-1.0, -2.0, -3.0])
        >>> eubo(target_log_prob, target_log_prob - 2.0).value  # q is exact: the log evidence, 2
        2.0
    """
    return elbo(as_numbers(target_log_prob, "`target_log_prob`") - as_numbers(log_q, "`log_q`"))


def mass_coverage(
    log_q_at_target: np.ndarray, log_q_at_q: np.ndarray, mass: Any = 0.999
) -> Estimate[float]:
    """Share of the target's mass inside the region that holds `mass` of q.

    Args:
      log_q_at_target: log q at exact draws of the target, [N].
      log_q_at_q: log q at draws of q, [S].
      mass: mass of q in the region (its highest-density region), below one.

    Returns:
      the share divided by `mass`, capped at one, and its standard error: one if q equals the
      target, about `1 - w` if q misses a separate mode of weight w.

    Example:
        >>> from gmmvi_ext.diagnostics import mass_coverage
        >>> at_q = np.log(np.linspace(0.001, 1.0, 1000))
        >>> at_target = np.where(np.arange(1000) < 300, -np.inf, at_q)  # 30% where q is zero
        >>> round(mass_coverage(at_target, at_q).value, 2)
        0.7
    """
    is_share = mass in Range(0, 1, open_low=True, open_high=True)
    require(is_share, "mass", "strictly between 0 and 1", mass)
    at_q = as_numbers(log_q_at_q, "`log_q_at_q`")
    at_target = as_numbers(log_q_at_target, "`log_q_at_target`")
    for name, values in (("log_q_at_q", at_q), ("log_q_at_target", at_target)):
        require(values.size > 0, name, "values at one draw or more", values)
    inside = float((at_target >= np.quantile(at_q, 1.0 - mass)).mean())
    error = np.sqrt(inside * (1.0 - inside) / np.size(log_q_at_target))
    return Estimate(min(inside / mass, 1.0), float(error / mass))


def entropic_mode_coverage(mode_probs: np.ndarray) -> float:
    """Evenness of the draws over known modes: one if all are hit equally, zero if only one is.

    Args:
      mode_probs: probability of each of M modes given each draw of q, [N, M].

    Example:
        >>> from gmmvi_ext.diagnostics import entropic_mode_coverage
        >>> all_four, one_of_four = np.eye(4), np.eye(4)[[0, 0]]
        >>> round(entropic_mode_coverage(all_four), 3)
        1.0
        >>> abs(round(entropic_mode_coverage(one_of_four), 3))
        0.0
    """
    probs = as_numbers(mode_probs, "`mode_probs`")
    require(probs.ndim == 2 and probs.size > 0, "mode_probs", "probabilities [N, M]", mode_probs)
    shares = probs.mean(0)
    if shares.size == 1:
        return 1.0
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum() / np.log(shares.size))
