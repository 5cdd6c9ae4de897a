"""The tail of the importance ratios with its Pareto fit: is k-hat below its limit?"""

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from gmmvi_ext.diagnostics.psis import smooth_log_ratios
from gmmvi_ext.plotting.style import INK, LEVEL_COLORS, MUTED, PALETTE, badge, new_axes, tidy
from gmmvi_ext.ranges import require_switches

if TYPE_CHECKING:
    from gmmvi_ext.posterior.report.report import Report

__all__ = ["plot_khat"]

NO_RATIOS = "no ratios: `report()` makes them,\nwhere the posterior has a target"


def plot_khat(report: "Report", ax: Axes | None = None, *, with_badge: bool = True) -> Axes:
    """Share of draws whose importance ratio exceeds a multiple of the mean, both axes logarithmic.

    A mixture equal to the target gives a step at one; a heavy tail runs to the right. The line is
    the generalized Pareto fit with shape k-hat.

    Args:
      report: a `Report` of a posterior with a target.
      ax: axes to draw on, or None for a new figure.
      with_badge: write the verdict's word.

    Example:
        >>> from gmmvi_ext.plotting import plot_khat
        >>> from gmmvi_ext.models import initial_mixture
        >>> from gmmvi_ext.targets import CallableTarget
        >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
        >>> axes = plot_khat(posterior.report(2000))
        >>> axes.get_xscale(), axes.get_yscale()
        ('log', 'log')
    """
    require_switches(with_badge=with_badge)
    ax = new_axes(ax)
    tidy(ax)
    ax.set_title("Importance ratios", loc="left", fontsize=10, color=INK)
    ax.set_xlabel("importance ratio / mean ratio")
    ax.set_ylabel("share of draws above")
    ratios = np.asarray(report.log_ratios)
    ratios = np.sort(ratios[np.isfinite(ratios)])[::-1]
    if with_badge:
        badge(ax, report.level)
    if ratios.size < 10:
        has_none = report.log_ratios.size == 0 or report.level == "unchecked"
        text = NO_RATIOS if has_none else "no finite ratios"
        ax.text(0.5, 0.5, text, ha="center", transform=ax.transAxes)
        return ax
    top = ratios[0]
    log_mean = top + math.log(np.exp(ratios - top).sum() / report.num_samples)
    smoothed = np.sort(smooth_log_ratios(ratios).log_weights)[::-1]
    share = (np.arange(ratios.size) + 0.5) / report.num_samples
    tail = int((np.abs(smoothed - ratios) > 0).sum())
    ax.loglog(_relative(ratios, log_mean), share, color=PALETTE[0], lw=1.2)
    if tail:
        last = slice(0, tail)
        ax.loglog(
            _relative(ratios[last], log_mean),
            share[last],
            "o",
            ms=2.5,
            color=PALETTE[0],
            label=f"largest {tail} of {report.num_samples}",
        )
    if tail and math.isfinite(report.khat):
        line = _relative(smoothed[last], log_mean)
        ax.loglog(
            line,
            share[last],
            color=LEVEL_COLORS[report.level],
            lw=2,
            label="generalized Pareto fit",
        )
    ax.axvline(1.0, color=MUTED, lw=0.8, ls=":")
    floor = max(_relative(ratios[-ratios.size // 50 - 1 :], log_mean)[0], 1e-4)
    ax.set_xlim(min(floor, 0.08), max(_relative(ratios[:1], log_mean)[0] * 1.5, 12.0))
    ax.set_ylim(0.3 / report.num_samples, 1.5)
    _write_numbers(ax, report)
    if tail:
        ax.legend(loc="lower left", fontsize=7, frameon=False)
    return ax


def _relative(log_ratios: np.ndarray, log_mean: float) -> np.ndarray:
    return np.exp(np.clip(log_ratios - log_mean, -600.0, 600.0))


def _write_numbers(ax: Axes, report) -> None:
    sign = "<=" if report.khat <= report.khat_limit else ">"
    share = report.ess / report.num_samples
    ax.set_title(
        f"k-hat {report.khat:.2f} {sign} {report.khat_limit:.2f}, ESS {share:.1%}",
        loc="right",
        fontsize=10,
        color=LEVEL_COLORS[report.level],
    )
