"""The ELBO over a run, with the eye on where it ended."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from gmmvi_ext.plotting.style import INK, LEVEL_COLORS, MUTED, PALETTE, badge, new_axes, tidy
from gmmvi_ext.ranges import checked, require_switches

if TYPE_CHECKING:
    from gmmvi_ext.posterior.report.report import Report

__all__ = ["X_LABELS", "metric_column", "plot_elbo"]

X_LABELS = {
    "num_target_evaluations": "target evaluations",
    "iteration": "iterations",
    "train_seconds": "seconds of training, tracing included",
}
INSET_RATIO = 8.0  # an early range so many times the late one gets its own logarithmic inset


@checked
def plot_elbo(
    metrics: Sequence[Mapping],
    ax: Axes | None = None,
    *,
    x: str = "num_target_evaluations",
    report: "Report | None" = None,
    with_badge: bool = True,
) -> Axes:
    """ELBO against evaluations (or iterations, or seconds).

    The y range is that of the second half of the run, however low the start was; if the start lies
    far below, an inset shows the whole way as the distance to the best value on a log scale. Ticks
    at the bottom mark where components were added (up) or deleted (down).

    Args:
      metrics: rows of `metrics.jsonl`; uses `elbo`, `elbo_se`, `num_components` and `x`.
      ax: axes to draw on, or None for a new figure.
      x: `num_target_evaluations`, `iteration` or `train_seconds`.
      report: a `Report`, whose final ELBO and verdict are then drawn as well.
      with_badge: write the verdict's word, if there is a report.

    Example:
        >>> from gmmvi_ext.plotting import plot_elbo
        >>> row = {"num_components": 2, "component_ids": [0, 1], "weights": [0.4, 0.6]}
        >>> row["elbo_se"] = 0.01
        >>> steps = [{"num_target_evaluations": i, "elbo": -1.0 / i} for i in range(1, 11)]
        >>> rows = [row | step for step in steps]
        >>> axes = plot_elbo(rows)
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('target evaluations', 'ELBO (higher is better)')
    """
    require_switches(with_badge=with_badge)
    ax = new_axes(ax)
    if x not in X_LABELS:
        raise ValueError(f"`x` must be one of {sorted(X_LABELS)}, got {x!r}.")
    position, value, error = (metric_column(metrics, key) for key in (x, "elbo", "elbo_se"))
    known = np.isfinite(position) & np.isfinite(value)
    tidy(ax)
    ax.set_xlabel(X_LABELS[x])
    ax.set_ylabel("ELBO (higher is better)")
    ax.set_title("ELBO over the run", loc="left", fontsize=10, color=INK)
    if not known.any():
        ax.text(
            0.5,
            0.5,
            "no finite ELBO in the metrics\n(none if nothing had to be trained)",
            ha="center",
            transform=ax.transAxes,
        )
        return ax
    position, value = position[known], value[known]
    error = np.nan_to_num(error[known])
    color = PALETTE[0]
    ax.fill_between(position, value - 2 * error, value + 2 * error, color=color, alpha=0.2, lw=0)
    marker = "o" if value.size < 40 else None
    ax.plot(position, value, color=color, lw=1.6, marker=marker, ms=3)
    low, high = _focus(value, error, report)
    late = value[value.size // 2 :]
    spread = max(float(np.ptp(late)), float(np.median(error)), 1e-12)
    has_inset = value.size > 3 and np.ptp(value) > INSET_RATIO * spread and value.min() < low
    if has_inset:
        low -= high - low  # the converged part keeps the upper half, the inset gets the lower
        _inset(ax, position, value, spread)
    ax.set_ylim(low, high)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    _mark_components(ax, metrics, x)
    _annotate(ax, value, error, report, with_badge)
    return ax


def metric_column(metrics: Sequence[Mapping], key: str) -> np.ndarray:
    """Values [T] of `key` over the rows of `metrics.jsonl`; nan where a row lacks it."""
    values = [row.get(key) for row in metrics]
    return np.array([np.nan if v is None else float(v) for v in values], np.float64)


def _focus(value: np.ndarray, error: np.ndarray, report) -> tuple[float, float]:
    """y range of the converged part."""
    late = slice(value.size // 2, None)
    low = float((value[late] - 2 * error[late]).min())
    high = float((value + 2 * error)[late].max())
    if report is not None and np.isfinite(report.log_evidence):
        gap = report.log_evidence - value[-1]
        if 0 < gap < 3 * (high - low) + 0.5:
            high = max(high, report.log_evidence)
    margin = max(0.12 * (high - low), 1e-3 * max(abs(high), 0.1))
    return low - margin, high + 2 * margin


def _mark_components(ax: Axes, metrics, x: str) -> None:
    position, count = metric_column(metrics, x), metric_column(metrics, "num_components")
    change = np.diff(count)
    for sign, marker in ((1, "^"), (-1, "v")):
        at = position[1:][np.sign(change) == sign]
        ax.plot(
            at,
            np.full(at.size, 0.02),
            marker,
            ms=3,
            color=MUTED,
            ls="",
            zorder=1,
            transform=ax.get_xaxis_transform(),
        )


def _inset(ax: Axes, position, value, spread: float) -> None:
    """The whole run: distance to the best value, on a log scale."""
    inset = ax.inset_axes([0.69, 0.1, 0.3, 0.3])
    gap = np.maximum(value.max() - value, 0.5 * spread)
    inset.semilogy(position, gap, color=PALETTE[0], lw=1)
    inset.set_title("whole run: below the best", fontsize=7, color=INK, loc="left")
    inset.tick_params(labelsize=6, color=MUTED)
    inset.xaxis.set_major_formatter(EngFormatter(sep=""))
    inset.spines[["top", "right"]].set_visible(False)


def _annotate(ax: Axes, value, error, report, with_badge: bool) -> None:
    final, final_error = float(value[-1]), float(error[-1])
    if report is not None:
        final, final_error = report.elbo, report.elbo_se
        low, high = ax.get_ylim()
        if low < report.log_evidence <= high:  # not where it is nan
            ax.axhline(report.log_evidence, color=INK, lw=0.8, ls="--")
            ax.annotate(
                "log evidence",
                (1.0, report.log_evidence),
                (0, 4),  # clear of the curve, which ends below
                textcoords="offset points",
                ha="right",
                va="bottom",
                xycoords=("axes fraction", "data"),
                fontsize=7,
                color=INK,
            )
        if with_badge:
            badge(ax, report.level, at=(0.14, 0.07) if ax.child_axes else (0.98, 0.07))
    color = LEVEL_COLORS[report.level] if report is not None else INK
    ax.set_title(f"{final:.3f} +- {final_error:.3f}", loc="right", fontsize=10, color=color)
