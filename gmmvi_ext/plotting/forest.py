"""Intervals of many parameters on one axis, of one posterior or of several side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from gmmvi_ext.plotting.marginals import choose_elements, note_left_out
from gmmvi_ext.plotting.style import INK, PALETTE, new_axes, plain_text, tidy
from gmmvi_ext.ranges import checked
from gmmvi_ext.types import Seed

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["plot_forest"]

INNER = 0.5  # share of the thick bar, where that is less than `prob`
MOST = 40
ROW = 0.28  # inches


@checked
def plot_forest(
    posteriors: "Posterior | Mapping[str, Posterior]",
    ax: Axes | None = None,
    *,
    names: str | int | Sequence[str | int] | None = None,
    prob: float = 0.94,
    max_parameters: int = MOST,
    num_samples: int = 10000,
    seed: Seed = 0,
) -> Axes:
    """Highest-density intervals: a thin bar holds `prob`, a thick one half, a ring is the mean.

        plot_forest({"centered": first, "non-centered": second}, names=["mu", "tau"])

    Args:
      posteriors: a `Posterior`, or name -> `Posterior` for several of the same parameters, such as
        a prior against its posterior, models or seeds.
      ax: axes to draw on, or None for a new figure.
      names: parts or elements to draw; default the leading ones that vary.
      prob: share of the draws inside the thin bar, in (0, 1).
      max_parameters: how many at most.
      num_samples: draws behind every interval.
      seed: of the draws.

    Raises:
      ValueError: there is no posterior, or they have different parameters.

    Example:
        >>> from gmmvi_ext.plotting import plot_forest
        >>> from gmmvi_ext.models import initial_mixture
        >>> names = {"a": (), "b": ()}
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
        >>> prior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=3.0), parameter_names=names)
        >>> axes = plot_forest({"prior": prior, "posterior": posterior}, num_samples=500)
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['a', 'b']
    """
    from gmmvi_ext.posterior.statistics import highest_density_interval
    from gmmvi_ext.posterior.summary import constrained_draws

    if not (isinstance(posteriors, Mapping) or hasattr(posteriors, "layout")):
        raise TypeError(
            "`posteriors` must be a posterior, or a dict from labels to posteriors of the same "
            f"parameters, got {type(posteriors).__name__}."
        )
    named = posteriors if isinstance(posteriors, Mapping) else {"": posteriors}
    if not named:
        raise ValueError("`posteriors` must hold at least one posterior.")
    first = next(iter(named.values()))
    labels = first.layout.constrained_names
    for name, other in named.items():
        if other.layout.constrained_names != labels:
            raise ValueError(
                f"the posteriors must have the same parameters: {name!r} has "
                f"{other.layout.constrained_names}, the first one {labels}."
            )
    chosen = choose_elements(first, names, max_parameters)
    ax = new_axes(ax, size=(6.0, 1.0 + ROW * len(chosen) * max(1.0, 0.6 * len(named))))
    offsets = (np.arange(len(named)) - 0.5 * (len(named) - 1)) * 0.7 / len(named)
    for number, (name, posterior) in enumerate(named.items()):
        draws = constrained_draws(posterior.mixture, posterior.layout, num_samples, seed)
        draws = np.asarray(draws)[:, chosen]
        rows = np.arange(len(chosen)) + offsets[number]
        color = PALETTE[number % len(PALETTE)]
        for share, width in ((prob, 1.2), (min(INNER, prob), 3.5)):
            ends = highest_density_interval(draws, share)
            ax.hlines(rows, ends[:, 0], ends[:, 1], color=color, lw=width)
        ax.plot(
            draws.mean(axis=0),
            rows,
            "o",
            markersize=5,
            color="white",
            markeredgecolor=color,
            label=plain_text(str(name)) or None,
        )
    ax.set_yticks(np.arange(len(chosen)), [plain_text(labels[i]) for i in chosen], fontsize=8)
    ax.set_ylim(len(chosen) - 0.4, -0.6)
    tidy(ax)
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    ax.set_title(
        f"{prob:.0%} and 50% highest-density intervals; ring: mean",
        loc="left",
        fontsize=9,
        color=INK,
    )
    note_left_out(ax, first, names, len(chosen))
    if len(named) > 1:
        ax.legend(
            fontsize=8,
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),  # beside: intervals may be anywhere inside
            borderaxespad=0.2,
        )
    return ax
