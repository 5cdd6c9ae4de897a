"""Whether several fits of one target agree: what other packages ask of several chains.

For every number of the parameters, with means m_i and standard deviations s_i of the fits,

    shift    = max_ij |m_i - m_j| / s,      s^2 the average of s_i^2
    sd ratio = max_ij s_i / s_j

and the log evidences, which differ where one of the fits has missed a mode.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from gmmvi_ext import diagnostics
from gmmvi_ext.posterior import summary
from gmmvi_ext.posterior.evaluation_cost import DEFAULT_SAMPLES
from gmmvi_ext.posterior.merging import posterior_list
from gmmvi_ext.ranges import require_count
from gmmvi_ext.types import Estimate, Seed

__all__ = ["Agreement", "agreement"]

MAX_SHIFT = 0.1  # sd: what a fit may be off by, and five times the noise of 20 000 draws
MAX_SD_RATIO = 1.1
MAX_EVIDENCE = 0.1  # nats, beyond three standard errors
SHOWN = 8  # rows of the printed table


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far several fits differ.

    Attributes:
      agree: whether all three measures are within their limits.
      rows: one dict for each number of the parameters, the worst first: `name`, `shift`,
        `sd_ratio`, `means` and `stddevs` (one for each fit).
      log_evidence: of every fit with its standard error; empty without targets.
      evidence_gap: largest difference between two of them, NaN without targets.
      num_modes: of every fit.
    """

    agree: bool
    rows: list[dict]
    log_evidence: list[Estimate[float]]
    evidence_gap: float
    num_modes: list[int]

    def __str__(self) -> str:
        worst = self.rows[0]
        lines = [
            f"{len(self.num_modes)} fits {'AGREE' if self.agree else 'DO NOT AGREE'}: largest "
            f"shift {worst['shift']:.3f} sd ({worst['name']}), largest ratio of sds "
            f"{max(row['sd_ratio'] for row in self.rows):.3f}, modes {self.num_modes}"
        ]
        if self.log_evidence:
            found = ", ".join(f"{e.value:.3f} +- {e.standard_error:.3f}" for e in self.log_evidence)
            lines.append(f"log evidence {found}")
        lines += [
            f"  {row['name']}: shift {row['shift']:.3f} sd, ratio of sds {row['sd_ratio']:.3f}"
            for row in self.rows[:SHOWN]
        ]
        return "\n".join(lines)


def agreement(posteriors: Sequence, num_samples: int | None = None, seed: Seed = 0) -> Agreement:
    """Compares posteriors of the same target, e.g. fits with several seeds.

        print(gmmvi_ext.agreement([gmmvi_ext.fit(f, 3, seed=seed) for seed in range(3)]))

    Args:
      posteriors: two or more, of the same parameters.
      num_samples: draws of each for what has no closed form, and for its evidence where there is
        no report yet; default 20 000, for the evidence of a slow target fewer, as for `report`.
      seed: of the draws.

    Raises:
      ValueError: fewer than two, or other parameters.

    Example:
        >>> from gmmvi_ext.models import initial_mixture
        >>> first = gmmvi_ext.Posterior(initial_mixture(1))
        >>> second = gmmvi_ext.Posterior(initial_mixture(1, prior_mean=3.0))
        >>> print(gmmvi_ext.agreement([first, second]))
        2 fits DO NOT AGREE: largest shift 3.000 sd (x[0]), largest ratio of sds 1.000, modes [1, 1]
          x[0]: shift 3.000 sd, ratio of sds 1.000
    """
    posteriors = posterior_list(posteriors, 2)
    if num_samples is not None:
        require_count("num_samples", num_samples)
    names = posteriors[0].layout.constrained_names
    for number, other in enumerate(posteriors):
        if other.layout.constrained_names != names:
            raise ValueError(
                f"posterior {number} has the parameters {other.layout.constrained_names}, expected "
                f"those of the first one, {names}."
            )
    count = num_samples or DEFAULT_SAMPLES
    moments = [summary.flat_moments(p.mixture, p.layout, count, seed) for p in posteriors]
    means, sds = (np.stack([each[i] for each in moments]).astype(np.float64) for i in (0, 1))
    spread = np.sqrt(np.mean(sds**2, axis=0))
    varies = spread > 0
    shift = np.ptp(means, axis=0) / np.where(varies, spread, 1.0)
    ratio = np.where(varies, sds.max(0) / np.where(varies, sds.min(0), 1.0), 1.0)
    rows = [
        {
            "name": name,
            "shift": float(shift[i]),
            "sd_ratio": float(ratio[i]),
            "means": means[:, i].tolist(),
            "stddevs": sds[:, i].tolist(),
        }
        for i, name in enumerate(names)
    ]
    evidence = [_log_evidence(p, num_samples, seed) for p in posteriors if p.target is not None]
    gap, limit = _gap(evidence)
    agree = bool(shift.max() <= MAX_SHIFT and ratio.max() <= MAX_SD_RATIO and not gap > limit)
    modes = [diagnostics.find_modes(p.mixture).count() for p in posteriors]
    rows.sort(key=lambda row: -max(row["shift"], np.log(row["sd_ratio"])))
    return Agreement(agree, rows, evidence, gap, modes)


def _log_evidence(posterior, num_samples: int | None, seed) -> Estimate[float]:
    report = posterior.last_report
    if report is not None:
        return Estimate(report.log_evidence, report.log_evidence_se)
    return diagnostics.log_evidence(posterior.scored_draws(num_samples, seed).log_ratios)


def _gap(evidence: list[Estimate[float]]) -> tuple[float, float]:
    """The largest difference, and what may be."""
    if len(evidence) < 2:
        return float("nan"), float("nan")
    high = max(evidence, key=lambda each: each.value)
    low = min(evidence, key=lambda each: each.value)
    noise = float(np.hypot(high.standard_error, low.standard_error))
    return high.value - low.value, MAX_EVIDENCE + 3.0 * noise
