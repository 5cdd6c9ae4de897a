"""Weights of the components at the end, grouped by mode."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from gmmvi_ext import diagnostics
from gmmvi_ext.plotting.style import INK, component_color, new_axes, tidy

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["plot_components"]

MAX_BARS = 60
MAX_LEGEND = 12


def plot_components(posterior: "Posterior", ax: Axes | None = None) -> Axes:
    """A bar per component, heaviest mode first, one color per mode of the density.

    Args:
      posterior: a `Posterior`.
      ax: axes to draw on, or None for a new figure.

    Example:
        >>> from gmmvi_ext.plotting import plot_components
        >>> from gmmvi_ext.models import initial_mixture
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2))
        >>> axes = plot_components(posterior)
        >>> len(axes.patches)
        1
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
    ax.set_ylim(0, 1.4 * weights.max())  # room for the legend
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= 1.0])
    ax.set_xticks(np.arange(shown.size) if shown.size <= 20 else [])
    if shown.size <= 20:
        ax.set_xticklabels([str(k) for k in shown], fontsize=7)
    ax.set_xlabel("component" if shown.size == order.size else f"first {MAX_BARS} components")
    ax.set_ylabel("weight")
    count = modes.count()
    named = min(count, MAX_LEGEND)
    handles = [
        Patch(color=component_color(i), label=f"mode {i}: {modes.weight[i]:.3f}")
        for i in range(named)
    ]
    if len(modes.weight) > named:
        rest = f"{len(modes.weight) - named} more: {modes.weight[named:].sum():.3f}"
        handles.append(Patch(color="none", label=rest))
    ax.legend(handles=handles, fontsize=7, frameon=False, loc="upper right", ncols=4)
    ax.set_title("Components by mode", loc="left", fontsize=10, color=INK)
    text = f"{order.size} component{'s' * (order.size != 1)}, {count} mode{'s' * (count != 1)}"
    ax.set_title(text, loc="right", fontsize=10, color=INK)
    return ax
