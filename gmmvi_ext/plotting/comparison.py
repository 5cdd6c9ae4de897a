"""Several runs on one page: their ELBO over evaluations, and how far each stayed from the best."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from gmmvi_ext.plotting.elbo import X_LABELS, metric_column
from gmmvi_ext.plotting.style import (
    INK,
    MUTED,
    component_color,
    new_axes,
    new_figure,
    plain_text,
    shortened,
    tidy,
)
from gmmvi_ext.ranges import checked, require, require_switches

__all__ = ["Curve", "add_legend", "plot_comparison", "plot_comparison_page"]

MAX_LEGEND = 14
MAX_TITLE, MAX_NAME = 100, 60  # characters
MANY = 3  # runs of a label, from which on their median is drawn
LINE_STYLES = ("-", "--", ":", "-.")
NUM_COLORS = 12
OUTLIER_RATIO = 10.0


@dataclasses.dataclass(frozen=True)
class Curve:
    """A run to draw.

    Attributes:
      label: runs of the same label share a color and a line of the legend.
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

    def __post_init__(self):
        is_text = isinstance(self.label, str) and bool(self.label.strip())
        require(is_text, "label", "a text that is not empty", self.label)
        require_switches(is_failed=self.is_failed)


@checked
def plot_comparison(
    curves: Sequence[Curve],
    ax: Axes | None = None,
    *,
    x: str = "num_target_evaluations",
    gap: bool = False,
) -> Axes:
    """ELBO of several runs over evaluations (or iterations, or seconds).

    The y range is that of the last values of all runs, however low they started. Three and more
    runs of a label are thin lines below their median and quartiles. With `gap` the distance to the
    best last value is drawn on a log scale instead, down to its own noise.

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
    require_switches(gap=gap)
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
    if gap:
        lines = [(p, np.maximum(best - value, noise), error) for p, value, error in lines]
    labels = list(dict.fromkeys(curve.label for curve in curves))
    for number, label in enumerate(labels):
        members = [
            (line, curve.is_failed)
            for curve, line in zip(curves, lines, strict=True)
            if curve.label == label and line[0].size
        ]
        if members:
            _draw_label(ax, label, number, members, with_error=not gap and len(curves) <= 6)
    if gap:
        _finish_gap(ax, best, noise)
    else:
        ax.set_ylabel("ELBO (higher is better)")
        ax.set_ylim(*_focus(known))
        _name_outliers(ax, curves, lines, labels)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    return ax


def _draw_label(ax: Axes, label: str, number: int, members, *, with_error: bool) -> None:
    """The runs of one label; of three and more thin, below their median and quartiles."""
    color = component_color(number)
    style = {"color": color, "ls": LINE_STYLES[(number // NUM_COLORS) % len(LINE_STYLES)]}
    band = _quartiles([line for line, _ in members]) if len(members) >= MANY else None
    width, alpha = (1.6 if len(members) == 1 else 1.1, 1.0) if band is None else (0.7, 0.5)
    label = plain_text(label)
    text = f"{label} ({len(members)} runs)" if len(members) > 1 else label
    for place, ((position, height, error), is_failed) in enumerate(members):
        name = text if band is None and place == 0 else None
        ax.plot(position, height, lw=width, alpha=alpha, label=name, **style)
        marker = "x" if is_failed else "o"
        ax.plot(position[-1:], height[-1:], marker, color=color, ms=4 if band is None else 3)
        if with_error and band is None:
            ends = height - 2 * error, height + 2 * error
            ax.fill_between(position, *ends, color=color, alpha=0.15, lw=0)
    if band is not None:
        position, (low, middle, high) = band
        ax.fill_between(position, low, high, color=color, alpha=0.2, lw=0)
        ax.plot(position, middle, lw=2.0, label=f"{text}, median and quartiles", **style)


def _quartiles(lines):
    """Where all runs have values: positions [G] and quartiles [3, G]; None where they never do."""
    start, end = max(line[0][0] for line in lines), min(line[0][-1] for line in lines)
    if start >= end:
        return None
    inside = np.unique(np.concatenate([line[0] for line in lines]))
    grid = inside[(inside >= start) & (inside <= end)]
    values = [np.interp(grid, position, height) for position, height, _ in lines]
    return grid, np.quantile(values, [0.25, 0.5, 0.75], axis=0)


def _finish_gap(ax: Axes, best: float, noise: float) -> None:
    ax.set_yscale("log")
    ax.set_ylabel(f"best ELBO ({best:.3f}) minus ELBO")
    ax.axhline(noise, color=MUTED, lw=0.7, ls=":")
    ax.set_ylim(bottom=noise / 2.0)
    ax.annotate(
        "noise of the best",
        (0.01, noise),
        (0, -3),  # below the line, where no curve goes
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize=7,
        color=MUTED,
    )


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
    if not groups:
        raise ValueError("`groups` must hold at least one target.")
    figure = new_figure((11.0, sum(heights)))
    rows = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for row, (target, curves) in zip(rows, groups.items(), strict=True):
        left, right = row.subplots(1, 2)
        plot_comparison(curves, left)
        plot_comparison(curves, right, x="train_seconds", gap=True)
        row.suptitle(
            plain_text(shortened(target, MAX_TITLE)),
            x=0.01,
            ha="left",
            fontsize=11,
            color=INK,
            fontweight="bold",
        )
        add_legend(row, left)
    return figure


def add_legend(figure, ax: Axes) -> None:
    """What the lines of `ax` are, below the axes of `figure`, or of a part of one."""
    handles, labels = ax.get_legend_handles_labels()
    more = len(labels) - MAX_LEGEND
    if more > 0:
        handles, labels = handles[:MAX_LEGEND], labels[:MAX_LEGEND]
        labels[-1] += f" ... and {more} more"
    if handles:
        width = figure.bbox.width / figure.dpi  # inches
        figure.legend(
            handles,
            labels,
            loc="outside lower left",
            fontsize=8,
            frameon=False,
            ncols=1 if max(map(len, labels)) > 5.5 * width else 2,
        )


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


def _name_outliers(ax: Axes, curves, lines, labels: Sequence[str]) -> None:
    """Says which runs ended below the picture, and where; a triangle points down to each."""
    bottom = ax.get_ylim()[0]
    below = [
        (curve.label, position[-1], value[-1])
        for curve, (position, value, _) in zip(curves, lines, strict=True)
        if value.size and value[-1] < bottom
    ]
    if not below:
        return
    for label, position, _ in below:
        color = component_color(labels.index(label))
        ax.plot([position], [bottom], "v", color=color, ms=6, clip_on=False)
    words = [f"{shortened(label, MAX_NAME)}: {value:.4g}" for label, _, value in below[:3]]
    more = [f"{len(below) - 3} more"] if len(below) > 3 else []
    text = plain_text("ended below: " + "\n".join(words + more))
    ax.set_title(text, loc="right", fontsize=8, color=INK)  # above: curves are everywhere inside


def _num_labels(curves: Sequence[Curve]) -> int:
    return len({curve.label for curve in curves})
