"""Curves of a VAE's training: ELBO, distortion, rate and control loss over its steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gmmvi_ext.plotting.elbo import metric_column
from gmmvi_ext.plotting.style import INK, MUTED, PALETTE, new_grid, tidy

__all__ = ["plot_training_curves"]

# Title -> figure of the steps' minibatches, figure of the evaluated data.
_PANELS = {
    "ELBO": ("elbo_estimate", "elbo"),
    "distortion": ("distortion", "evaluation_distortion"),
    "rate": ("rate", "evaluation_rate"),
    "importance-weighted bound": (None, "log_prob_estimate"),
    "control loss": ("control_loss", None),
}


def plot_training_curves(history: Any, axes: np.ndarray | None = None) -> np.ndarray:
    """A panel for each figure: minibatches pale, evaluated data strong.

    The y range is that of the run without its first tenth, so that the start does not flatten the
    rest.

    Args:
      history: a `History`, or rows of `metrics.jsonl`.
      axes: array of as many axes as there are panels, or None for a new figure.

    Returns:
      the axes, [1, P]; the control loss is left out where there are no control variates.

    Example:
        >>> from gmmvi_ext.plotting import plot_training_curves
        >>> rows = [{"iteration": i, "elbo": -9 / i, "elbo_estimate": -9 / i} for i in (1, 2, 3)]
        >>> plot_training_curves(rows).shape[0]
        1
    """
    rows: Sequence[Mapping] = getattr(history, "rows", history)
    steps = metric_column(rows, "iteration")
    panels = {}
    for title, keys in _PANELS.items():
        values = [None if key is None else metric_column(rows, key) for key in keys]
        shown = [each for each in values if each is not None and np.isfinite(each).any()]
        if shown and any(np.nanmax(np.abs(each)) > 0 for each in shown):
            panels[title] = values
    if not panels:
        raise ValueError(
            "`history` has no figures of a VAE; give `vae.history` or rows of metrics."
        )
    axes = new_grid(axes, 1, len(panels), cell=(2.9, 2.6))
    for ax, (title, (training, evaluated)) in zip(axes[0], panels.items(), strict=True):
        tidy(ax)
        late = []
        for figure, color, label in (
            (training, MUTED, "minibatches"),
            (evaluated, PALETTE[0], "evaluated"),
        ):
            if figure is None or not np.isfinite(figure).any():
                continue
            known = np.isfinite(figure)
            ax.plot(steps[known], figure[known], color=color, lw=1.4, label=label)
            late.append(figure[known][known.sum() // 10 :])
        low, high = (f(np.concatenate(late)) for f in (np.min, np.max))
        margin = max(0.08 * (high - low), 1e-3 * max(abs(high), 0.1))
        ax.set_ylim(low - margin, high + margin)
        ax.set_title(title, loc="left", fontsize=10, color=INK)
        ax.set_xlabel("step", fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    return axes
