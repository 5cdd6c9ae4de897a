"""Marginal densities of single parameters."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes

from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.plotting.style import INK, MUTED, PALETTE, new_grid, plain_text, tidy
from gmmvi_ext.posterior.evaluation_cost import draws_within
from gmmvi_ext.posterior.importance.draws import ScoredDraws, sample_mixture
from gmmvi_ext.ranges import require_count
from gmmvi_ext.types import Seed

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = [
    "choose_elements",
    "draw_marginal",
    "draws_to_plot",
    "element_labels",
    "note_left_out",
    "plot_marginals",
    "write_key",
]

COLUMNS = 4
GRID_POINTS = 400
BINS = 50
NUM_DRAWS = 10_000  # behind a plot, where none are scored yet
NUM_LOOKED_AT = 50  # draws that say which elements are constant


def choose_elements(posterior, names, limit: int) -> list[int]:
    """Positions (in the flat constrained vector) of what is to be drawn.

    Args:
      posterior: a `Posterior`.
      names: names of parts or of single elements, positions, or None for the leading ones that
        are not constant (half of a Cholesky factor is).
      limit: how many at most.
    """
    elements = posterior.layout.constrained_names
    require_count("max_parameters", limit)
    if names is None:
        return _varying(posterior)[:limit] or [0]
    chosen = []
    for name in [names] if isinstance(names, (str, int)) else names:
        if isinstance(name, int) and 0 <= name < len(elements):
            chosen.append(name)
            continue
        found = [i for i, e in enumerate(elements) if e == name or e.startswith(f"{name}[")]
        if not found:
            raise ValueError(f"unknown parameter {name!r}; this posterior has {elements}.")
        chosen += found
    if not chosen:
        raise ValueError(f"`names` is empty; this posterior has {elements}.")
    return chosen[:limit]


def element_labels(posterior) -> list[str]:
    """Names of the elements of the flat constrained vector, as labels of axes."""
    return [plain_text(name) for name in posterior.layout.constrained_names]


def draws_to_plot(posterior, num_samples: int | None, seed) -> ScoredDraws:
    """Draws behind a plot: those scored already if they are enough, else `num_samples` new ones.

    Args:
      posterior: a `Posterior`.
      num_samples: how many are needed; None: what there is, or `NUM_DRAWS`.
      seed: of new draws.
    """
    if num_samples is not None:
        require_count("num_samples", num_samples)
    kept = posterior.kept_draws
    if kept is not None and len(kept.x) >= (num_samples or 1):
        return kept
    if num_samples is None:
        num_samples = draws_within(posterior, NUM_DRAWS).number
    return posterior.scored_draws(num_samples, seed)


def note_left_out(ax: Axes, posterior, names, shown: int) -> None:
    """Says above `ax` how many of the parameters that were asked for are drawn, if not all."""
    count = posterior.layout.num_constrained
    total = count if names is None else len(choose_elements(posterior, names, count))
    if shown < total:
        text = f"{shown} of {total} parameters"
        constant = 0 if names is not None else count - len(_varying(posterior))
        if constant:
            text += f" ({constant} constant)"
        ax.set_title(text, loc="right", fontsize=8, color=MUTED)


def write_key(ax: Axes, fontsize: float = 7) -> None:
    """The legend of `draw_marginal` above `ax`, where it covers nothing."""
    ax.legend(
        fontsize=fontsize,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=3,
        borderaxespad=0.2,
        borderpad=0.0,
    )


def _varying(posterior) -> list[int]:
    """Positions of the elements that differ between draws."""
    x, _ = sample_mixture(posterior.mixture, NUM_LOOKED_AT, 0)
    values = posterior.layout.forward_flat(tf.constant(x, posterior.mixture.dtype)).numpy()
    return [int(i) for i in np.flatnonzero(np.ptp(values, axis=0) > 0)]


def plot_marginals(
    posterior: "Posterior",
    ax: np.ndarray | Sequence | None = None,
    *,
    names: str | int | Sequence[str | int] | None = None,
    max_parameters: int = 12,
    num_samples: int | None = None,
    seed: Seed = 0,
) -> np.ndarray:
    """Marginal density of each parameter in the constrained space.

    Filled: the posterior (exact where the parameter is a function of one coordinate, a histogram
    where it mixes several). Dark line, where there is a target: the same draws after importance
    reweighting; if it departs from the filled area, the mixture is not the target there.

    Args:
      posterior: a `Posterior`.
      ax: array of axes, one per parameter, or None for a new figure.
      names: parts or elements to draw; default the leading ones.
      max_parameters: how many at most.
      num_samples: draws; default: those that are scored already (by `report`, say), or 10 000.
      seed: of the draws.

    Returns:
      the axes, [parameters].

    Example:
        >>> from gmmvi_ext.plotting import plot_marginals
        >>> from gmmvi_ext.models import initial_mixture
        >>> names = {"a": (), "b": ()}
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
        >>> plot_marginals(posterior, num_samples=500).shape
        (2,)
    """
    chosen = choose_elements(posterior, names, max_parameters)
    columns = min(COLUMNS, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    if ax is None:
        grid = new_grid(None, rows, columns).ravel()
    else:
        grid = new_grid(ax, 1, np.size(ax)).ravel()
        if grid.size < len(chosen):
            raise ValueError(f"`ax` must hold {len(chosen)} axes, got {grid.size}.")
    draws = draws_to_plot(posterior, num_samples, seed)
    for number, element in enumerate(chosen):
        draw_marginal(posterior, grid[number], element, draws)
        grid[number].set_xlabel(element_labels(posterior)[element], fontsize=9)
    for unused in grid[len(chosen) :]:
        unused.set_axis_off()
    note_left_out(grid[min(len(chosen), columns) - 1], posterior, names, len(chosen))
    if posterior.target is not None:
        write_key(grid[0])
    return grid[: len(chosen)]


def draw_marginal(posterior, ax: Axes, element: int, draws: ScoredDraws) -> None:
    """One marginal on one axes; see `plot_marginals`."""
    layout = posterior.layout
    x = tf.constant(draws.x, posterior.mixture.dtype)
    values = layout.forward_flat(x).numpy()[:, element].astype(np.float64)
    low, high = np.quantile(values, [0.001, 0.999])
    margin = 0.03 * (high - low)
    edges = np.linspace(low - margin, high + margin, BINS + 1)
    color = PALETTE[0]
    coordinate = layout.element_coordinates[element]
    if coordinate is not None:
        free = np.asarray(draws.x[:, coordinate], np.float64)
        window = (low - margin, high + margin)
        position, density = _exact_density(posterior, element, coordinate, free, *window)
        peak = density.max()
        ax.fill_between(position, density, color=color, alpha=0.35, lw=0, label="posterior")
        ax.plot(position, density, color=color, lw=1.2)
    else:
        heights = ax.hist(values, edges, density=True, color=color, alpha=0.45, label="posterior")[
            0
        ]
        peak = heights.max()
    if np.isfinite(draws.log_ratios).any():
        weights = np.exp(draws.smoothed().log_weights)
        height, _ = np.histogram(values, edges, weights=weights, density=True)
        ax.stairs(height, edges, color=INK, lw=0.8, label="reweighted")
    # Few heavy draws make tall spikes of the reweighted line: they must not flatten the rest.
    ax.set_ylim(0, min(ax.get_ylim()[1], 2.0 * peak))
    ax.set_yticks([])
    tidy(ax)
    ax.spines["left"].set_visible(False)


def _exact_density(
    posterior, element: int, coordinate: int, draws: np.ndarray, low: float, high: float
):
    """Density of one monotone function of one coordinate on a grid of the constrained space.

    The grid covers the unconstrained draws [N]: components without weight may reach much further.
    """
    layout, mixture = posterior.layout, posterior.mixture
    one = mixtures.marginal(mixture, [coordinate])
    first, last = draws.min(), draws.max()
    margin = 0.1 * (last - first) or 1.0
    free = np.linspace(first - margin, last + margin, 20 * GRID_POINTS)
    points = np.zeros((free.size, layout.num_dimensions))
    points[:, coordinate] = free
    image = layout.forward_flat(tf.constant(points, mixture.dtype)).numpy()[:, element]
    image = image.astype(np.float64)
    log_q = mixtures.log_prob(one, tf.constant(free[:, None], mixture.dtype)).numpy()
    slope = np.abs(np.gradient(image, free))
    inside = (image >= low) & (image <= high) & (slope > 1e-6 * slope.max())
    density = np.exp(log_q[inside].astype(np.float64)) / slope[inside]
    order = np.argsort(image[inside])
    return image[inside][order], density[order]
