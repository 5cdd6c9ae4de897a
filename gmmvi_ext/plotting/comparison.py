"""Several runs on one page: their ELBO over evaluations, and how far each stayed from the best."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from gmmvi_ext.plotting.elbo import X_LABELS, metric_column
from gmmvi_ext.plotting.style import INK, MUTED, component_color, new_axes, new_figure, tidy

__all__ = ["Curve", "plot_comparison", "plot_comparison_page"]

MAX_LEGEND = 14
LINE_STYLES = ("-", "--", ":", "-.")
NUM_COLORS = 12
OUTLIER_RATIO = 10.0


@dataclasses.dataclass(frozen=True)
class Curve:
    """A run to draw.

    Attributes:
      label: runs of the same label share a colour and a line of the legend.
      metrics: rows of its `metrics.jsonl`.
      is_failed: whether it ended without a mixture to use.

    Example:
        >>> from gmmvi_ext.plotting import Curve
        >>> row = {"num_components": 2, "component_ids": [0, 1], "weights": [0.4, 0.6]}
        >>> row["elbo_se"] = 0.01
        >>> steps = [{"num_target_evaluations": i, "elbo": -1.0 / i} for i in range(1, 11)]
        >>> rows = [row | step for step in steps]
        >>> curve = Curve("SAMTRON", rows)
        >>> curve.label, len(curve.metrics), curve.is_failed
        ('SAMTRON', 10, False)
    """

    label: str
    metrics: Sequence[Mapping]
    is_failed: bool = False


def plot_comparison(
    curves: Sequence[Curve],
    ax: Axes | None = None,
    *,
    x: str = "num_target_evaluations",
    gap: bool = False,
) -> Axes:
    """ELBO of several runs over evaluations (or iterations, or seconds).

    The y range is that of the last values of all runs, however low they started. With `gap` the
    distance to the best last value is drawn on a log scale instead, down to its own noise.

    Args:
      curves: the runs.
      ax: axes to draw on, or None for a new figure.
      x: `num_target_evaluations`, `iteration` or `train_seconds`.
      gap: distance to the best instead of the ELBO itself.

    Example:
        >>> from gmmvi_ext.plotting import Curve, plot_comparison
        >>> row = {"num_components": 2, "component_ids": [0, 1], "weights": [0.4, 0.6]}
        >>> row["elbo_se"] = 0.01
        >>> steps = [{"num_target_evaluations": i, "elbo": -1.0 / i} for i in range(1, 11)]
        >>> rows = [row | step for step in steps]
        >>> curves = [Curve("SAMTRON", rows), Curve("SAMTRUX", rows[:6])]
        >>> plot_comparison(curves).get_xlabel()
        'target evaluations'
    """
    ax = new_axes(ax)
    if x not in X_LABELS:
        raise ValueError(f"`x` must be one of {sorted(X_LABELS)}, got {x!r}.")
    tidy(ax)
    ax.set_xlabel(X_LABELS[x])
    lines = [_line(curve, x) for curve in curves]
    known = [line for line in lines if line[0].size]
    if not known:
        ax.text(0.5, 0.5, "no finite ELBO in the metrics", ha="center", transform=ax.transAxes)
        return ax
    best_line = max(known, key=lambda line: line[1][-1])
    best, noise = float(best_line[1][-1]), max(float(best_line[2][-1]), 1e-6)
    labels = list(dict.fromkeys(curve.label for curve in curves))
    counts = {label: sum(curve.label == label for curve in curves) for label in labels}
    named: set[str] = set()
    for curve, (position, value, error) in zip(curves, lines, strict=True):
        if not position.size:
            continue
        number = labels.index(curve.label)
        style = {
            "color": component_color(number),
            "ls": LINE_STYLES[(number // NUM_COLORS) % len(LINE_STYLES)],
            "lw": 1.6 if counts[curve.label] == 1 else 1.1,
            "alpha": 1.0 if counts[curve.label] <= 3 else 0.75,
        }
        if curve.label not in named:
            many = f" ({counts[curve.label]} runs)" if counts[curve.label] > 1 else ""
            style["label"] = curve.label + many
            named.add(curve.label)
        height = np.maximum(best - value, noise) if gap else value
        ax.plot(position, height, **style)
        marker = "x" if curve.is_failed else "o"
        ax.plot(position[-1:], height[-1:], marker, color=style["color"], ms=5 if gap else 4)
        if not gap and len(curves) <= 6:
            ax.fill_between(
                position,
                value - 2 * error,
                value + 2 * error,
                color=style["color"],
                alpha=0.15,
                lw=0,
            )
    if gap:
        ax.set_yscale("log")
        ax.set_ylabel(f"best ELBO ({best:.3f}) minus ELBO")
        ax.axhline(noise, color=MUTED, lw=0.7, ls=":")
        ax.annotate(
            "noise of the best",
            (1.0, noise),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=7,
            color=MUTED,
        )
    else:
        ax.set_ylabel("ELBO (higher is better)")
        ax.set_ylim(*_focus(known))
        _name_outliers(ax, curves, lines)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    return ax


def plot_comparison_page(groups: Mapping[str, Sequence[Curve]]) -> Figure:
    """A row of two pictures for each target: ELBO by evaluations, gap to the best by seconds.

    Args:
      groups: runs by target; only runs on one target can be compared.

    Returns:
      the figure.

    Example:
        >>> from gmmvi_ext.plotting import Curve, plot_comparison_page
        >>> row = {"num_components": 2, "component_ids": [0, 1], "weights": [0.4, 0.6]}
        >>> row["elbo_se"] = 0.01
        >>> steps = [{"num_target_evaluations": i, "elbo": -1.0 / i} for i in range(1, 11)]
        >>> rows = [row | step for step in steps]
        >>> figure = plot_comparison_page({"funnel": [Curve("SAMTRON", rows)]})
        >>> len(figure.axes)
        2
    """
    heights = [3.6 + 0.18 * min(_num_labels(curves), MAX_LEGEND) for curves in groups.values()]
    figure = new_figure((11.0, sum(heights)))
    rows = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for row, (target, curves) in zip(rows, groups.items(), strict=True):
        left, right = row.subplots(1, 2)
        plot_comparison(curves, left)
        plot_comparison(curves, right, x="train_seconds", gap=True)
        left.set_title(target, loc="left", fontsize=11, color=INK, fontweight="bold")
        handles, labels = left.get_legend_handles_labels()
        more = len(labels) - MAX_LEGEND
        if more > 0:
            handles, labels = handles[:MAX_LEGEND], labels[:MAX_LEGEND]
            labels[-1] += f" ... and {more} more"
        if handles:
            row.legend(
                handles,
                labels,
                loc="outside lower left",
                fontsize=8,
                frameon=False,
                ncols=1 if max(map(len, labels)) > 60 else 2,
            )
    return figure


def _line(curve: Curve, x: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    position, value, error = (metric_column(curve.metrics, key) for key in (x, "elbo", "elbo_se"))
    known = np.isfinite(position) & np.isfinite(value)
    return position[known], value[known], np.nan_to_num(error[known])


def _focus(lines) -> tuple[float, float]:
    """y range that shows where the runs ended; a run that ended far below the others is left out.

    From the best run downward, a run belongs to the picture while its distance to the one above it
    is not ten times the range so far.
    """
    last = sorted((float(value[-1]) for _, value, _ in lines), reverse=True)
    noise = float(np.median([error[-1] for _, _, error in lines]))
    least = max(6 * noise, 1e-3 * max(abs(last[0]), 0.1))
    low = last[0]
    for value in last[1:]:
        if low - value > OUTLIER_RATIO * max(last[0] - low, least):
            break
        low = value
    spread = max(last[0] - low, least)
    shown = [value[value.size // 2 :].max() for _, value, _ in lines if value[-1] >= low]
    return low - 0.8 * spread, float(max(shown)) + 0.25 * spread


def _name_outliers(ax: Axes, curves, lines) -> None:
    """Says which runs ended below the picture, and where."""
    bottom = ax.get_ylim()[0]
    below = [
        f"{curve.label}: {value[-1]:.4g}"
        for curve, (_, value, _) in zip(curves, lines, strict=True)
        if value.size and value[-1] < bottom
    ]
    if below:
        more = f", {len(below) - 3} more" if len(below) > 3 else ""
        ax.text(
            0.98,
            0.03,
            f"ended below: {', '.join(below[:3])}{more}",
            transform=ax.transAxes,
            ha="right",
            fontsize=8,
            color=INK,
        )


def _num_labels(curves: Sequence[Curve]) -> int:
    return len({curve.label for curve in curves})
