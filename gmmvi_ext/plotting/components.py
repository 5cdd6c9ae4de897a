"""Weights of the components at the end, grouped by mode."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from gmmvi_ext import diagnostics
from gmmvi_ext.plotting.style import INK, component_color, new_axes, tidy

__all__ = ["plot_components"]

MAX_BARS = 60
MAX_LEGEND = 12


def plot_components(posterior, ax: Axes | None = None) -> Axes:
    """A bar per component, heaviest mode first, one colour per mode of the density.

    Args:
      posterior: a `Posterior`.
      ax: axes to draw on, or None for a new figure.
    """
    ax = new_axes(ax)
    tidy(ax)
    modes = diagnostics.find_modes(posterior.mixture)
    weights = np.exp(np.asarray(posterior.mixture.log_weights, np.float64))
    order = np.lexsort((-weights, modes.mode_of_component))
    order = order[weights[order] > 0]
    shown = order[:MAX_BARS]
    colors = [component_color(modes.mode_of_component[k]) for k in shown]
    ax.bar(np.arange(shown.size), weights[shown], color=colors, width=0.85)
    ax.set_xlim(-0.6, max(shown.size - 0.4, 5.0))
    ax.set_ylim(0, 1.25 * weights.max())
    ax.set_xticks(np.arange(shown.size) if shown.size <= 20 else [])
    if shown.size <= 20:
        ax.set_xticklabels([str(k) for k in shown], fontsize=7)
    ax.set_xlabel("component" if shown.size == order.size else f"first {MAX_BARS} components")
    ax.set_ylabel("weight")
    handles = [
        Patch(color=component_color(i), label=f"mode {i}: {modes.weight[i]:.3f}")
        for i in range(min(len(modes.weight), MAX_LEGEND))
    ]
    if len(modes.weight) > MAX_LEGEND:
        rest = modes.weight[MAX_LEGEND:].sum()
        handles.append(
            Patch(color="white", label=f"{len(modes.weight) - MAX_LEGEND} more: {rest:.3f}")
        )
    ax.legend(handles=handles, fontsize=7, frameon=False, loc="upper right")
    ax.set_title("Components by mode", loc="left", fontsize=10, color=INK)
    count = modes.count()
    text = f"{order.size} component{'s' * (order.size != 1)}, {count} mode{'s' * (count != 1)}"
    ax.set_title(text, loc="right", fontsize=10, color=INK)
    return ax
