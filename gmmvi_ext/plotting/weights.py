"""Weights of the components over a run, as stacked areas."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from gmmvi_ext.plotting.elbo import X_LABELS
from gmmvi_ext.plotting.style import INK, component_color, new_axes, tidy
from gmmvi_ext.ranges import checked

__all__ = ["plot_weights"]

MAX_AREAS = 40  # components with an area of their own; the others share one in gray


@checked
def plot_weights(
    metrics: Sequence[Mapping], ax: Axes | None = None, *, x: str = "num_target_evaluations"
) -> Axes:
    """Stacked weights over the run: births and deaths of components show as areas that open, close.

    Args:
      metrics: rows of `metrics.jsonl`; uses `component_ids`, `weights` and `x`.
      ax: axes to draw on, or None for a new figure.
      x: `num_target_evaluations`, `iteration` or `train_seconds`.

    Example:
        >>> from gmmvi_ext.plotting import plot_weights
        >>> row = {"num_components": 2, "component_ids": [0, 1], "weights": [0.4, 0.6]}
        >>> row["elbo_se"] = 0.01
        >>> steps = [{"num_target_evaluations": i, "elbo": -1.0 / i} for i in range(1, 11)]
        >>> rows = [row | step for step in steps]
        >>> axes = plot_weights(rows)
        >>> [round(float(end), 1) for end in axes.get_ylim()]
        [0.0, 1.0]
    """
    ax = new_axes(ax)
    tidy(ax)
    ax.set_title("Component weights over the run", loc="left", fontsize=10, color=INK)
    ax.set_xlabel(X_LABELS[x])
    ax.set_ylabel("weight")
    ax.set_ylim(0, 1)
    rows = [row for row in metrics if row.get("weights") and row.get(x) is not None]
    if not rows:
        ax.text(
            0.5,
            0.5,
            "the metrics hold no weights\n(none if nothing had to be trained)",
            ha="center",
            transform=ax.transAxes,
        )
        return ax
    position = np.array([row[x] for row in rows], np.float64)
    by_id: dict[int, np.ndarray] = {}
    for number, row in enumerate(rows):
        ids = row.get("component_ids") or range(len(row["weights"]))
        for each, weight in zip(ids, row["weights"], strict=True):
            by_id.setdefault(int(each), np.zeros(len(rows)))[number] = weight
    heavy = sorted(by_id, key=lambda i: -by_id[i].max())[:MAX_AREAS]
    order = sorted(heavy)
    stack = np.array([by_id[i] for i in order])
    rest = np.clip(1.0 - stack.sum(0), 0.0, None)
    areas = ax.stackplot(
        position,
        *stack,
        rest,
        colors=[component_color(i) for i in order] + ["#dddddd"],
        linewidth=0.4,
        edgecolor="white",
    )
    _label_areas(ax, position, stack, order)
    if rest.max() > 0.01:
        areas[-1].set_label("all others")
        # The areas fill the picture: below it, beside the label of its axis.
        ax.legend(
            fontsize=7,
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(0.0, 0.0),
            borderaxespad=2.6,  # of the font: below the labels of the ticks
            borderpad=0.0,
        )
    if position.size > 1:
        ax.set_xlim(position[0], position[-1])
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    last = rows[-1].get("num_components") or len(rows[-1]["weights"])
    ax.set_title(f"{int(last)} components at the end", loc="right", fontsize=10, color=INK)
    return ax


def _label_areas(ax: Axes, position, stack, order) -> None:
    """Final weights of the large areas, at the right border."""
    top = np.cumsum(stack[:, -1])
    for number, (upper, weight) in enumerate(zip(top, stack[:, -1], strict=True)):
        if weight >= 0.04:
            ax.annotate(
                f" {weight:.2f}",
                (1.0, upper - weight / 2),
                xycoords=("axes fraction", "data"),
                fontsize=7,
                va="center",
                color=component_color(order[number]),
                annotation_clip=False,
            )
