"""Corner plot: draws and component ellipses for pairs of parameters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.plotting.marginals import (
    choose_elements,
    draw_marginal,
    draws_to_plot,
    element_labels,
)
from gmmvi_ext.plotting.style import (
    LEVEL_COLORS,
    LEVEL_WORDS,
    MUTED,
    component_color,
    new_grid,
    tidy,
)
from gmmvi_ext.posterior.importance.draws import ScoredDraws
from gmmvi_ext.ranges import require_count
from gmmvi_ext.types import Seed

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["plot_pairs"]

MAX_ELLIPSES = 12  # more of them cover the draws
FEW_ELLIPSES = 4  # so many have their second standard deviation drawn, too
CIRCLE_POINTS = 100
MIN_ALPHA = 0.15
ELLIPSE_SCALES = (1.0, 2.0)  # standard deviations
HALO = 1.6  # points of white around an ellipse, which set it off from the draws


def plot_pairs(
    posterior: "Posterior",
    ax: np.ndarray | Sequence | None = None,
    *,
    names: str | int | Sequence[str | int] | None = None,
    max_parameters: int = 4,
    num_points: int = 2000,
    num_samples: int | None = None,
    seed: Seed = 0,
) -> np.ndarray:
    """Pairs of parameters below the diagonal, marginals on it.

    Points are draws in the color of their component; ellipses are one standard deviation of the
    twelve heaviest components (also two, where they are few), pushed through the bijector (left out
    for parameters that mix several coordinates); lines grow wider and darker with the weight. Dark
    steps on the diagonal: the draws after reweighting.

    Args:
      posterior: a `Posterior`.
      ax: array of P x P axes, or None for a new figure.
      names: parts or elements to draw; default the leading ones.
      max_parameters: P at most.
      num_points: points drawn.
      num_samples: draws behind the marginals;
        default: those that are scored already (by `report`, say), or 10 000.
      seed: of the draws.

    Returns:
      the axes, [P, P].

    Example:
        >>> from gmmvi_ext.plotting import plot_pairs
        >>> from gmmvi_ext.models import initial_mixture
        >>> names = {"a": (), "b": ()}
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
        >>> plot_pairs(posterior, num_samples=500).shape
        (2, 2)
    """
    chosen = choose_elements(posterior, names, max_parameters)
    grid = new_grid(ax, len(chosen), len(chosen))
    labels = element_labels(posterior)
    require_count("num_points", num_points)
    draws = draws_to_plot(posterior, num_samples, seed)
    few = ScoredDraws(*(field[:num_points] for field in draws))
    x = tf.constant(few.x, posterior.mixture.dtype)
    values = posterior.layout.forward_flat(x).numpy()
    for row, vertical in enumerate(chosen):
        for column, horizontal in enumerate(chosen):
            cell = grid[row, column]
            if column > row:
                cell.set_axis_off()
            elif column == row:
                draw_marginal(posterior, cell, vertical, draws)
            else:
                _scatter(posterior, cell, values, few.component_index, horizontal, vertical)
            _label(grid, row, column, labels[horizontal], labels[vertical])
    _align(grid)
    _write_verdict(grid, posterior)
    _write_key(grid, posterior, draws, chosen)
    return grid


def _scatter(posterior, ax: Axes, values, index, horizontal: int, vertical: int) -> None:
    colors = [component_color(i) for i in index]
    ax.scatter(
        values[:, horizontal],
        values[:, vertical],
        s=4,
        c=colors,
        alpha=0.45,
        linewidths=0,
        rasterized=True,
    )
    coordinates = posterior.layout.element_coordinates
    if None not in (coordinates[horizontal], coordinates[vertical]):
        _ellipses(posterior, ax, horizontal, vertical)
    tidy(ax)
    for side, element in (("x", horizontal), ("y", vertical)):
        low, high = np.quantile(values[:, element], [0.002, 0.998])
        margin = 0.08 * (high - low)
        getattr(ax, f"set_{side}lim")(low - margin, high + margin)


def _ellipses(posterior, ax: Axes, horizontal: int, vertical: int) -> None:
    """One and two standard deviations of the heaviest components."""
    of_elements = posterior.layout.element_coordinates
    coordinates = [of_elements[horizontal], of_elements[vertical]]
    plane = mixtures.marginal(posterior.mixture, coordinates)
    weights = np.exp(np.asarray(plane.log_weights, np.float64))
    loc = np.asarray(plane.components.loc, np.float64)
    covariance = np.asarray(mixtures.component_covariances(plane.components), np.float64)
    angle = np.linspace(0.0, 2.0 * np.pi, CIRCLE_POINTS)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    shown = [k for k in np.argsort(-weights)[:MAX_ELLIPSES] if weights[k] >= 1e-3]
    scales = ELLIPSE_SCALES if len(shown) <= FEW_ELLIPSES else ELLIPSE_SCALES[:1]
    for k in reversed(shown):  # the heaviest on top, the light ones pale
        strength = np.sqrt(weights[k] / weights.max())
        factor = np.linalg.cholesky(covariance[k])
        width = 0.5 + 1.5 * np.sqrt(weights[k])
        for scale in scales:
            edge = (loc[k][:, None] + scale * factor @ circle).T
            points = np.zeros((CIRCLE_POINTS, posterior.layout.num_dimensions))
            points[:, coordinates] = edge
            points = tf.constant(points, posterior.mixture.dtype)
            image = posterior.layout.forward_flat(points).numpy()
            ax.plot(
                image[:, horizontal],
                image[:, vertical],
                color=component_color(k),
                lw=width,
                ls="-" if scale == 1.0 else "--",
                alpha=max(MIN_ALPHA, strength),
                path_effects=[withStroke(linewidth=width + HALO, foreground="white")],
            )


def _label(grid, row: int, column: int, horizontal: str, vertical: str) -> None:
    cell = grid[row, column]
    if row == len(grid) - 1:
        cell.set_xlabel(horizontal, fontsize=9)
    else:
        cell.tick_params(labelbottom=False)
    if column == 0 and row > 0:
        cell.set_ylabel(vertical, fontsize=9)
    elif column > 0:
        cell.tick_params(labelleft=False)


def _align(grid) -> None:
    """Marginals share the x range of the cells below them."""
    for column in range(len(grid) - 1):
        grid[column, column].set_xlim(grid[-1, column].get_xlim())
    if len(grid) > 1:
        grid[-1, -1].set_xlim(grid[-1, 0].get_ylim() if len(grid) == 1 else grid[-1, -2].get_ylim())


def _write_key(grid, posterior, draws: ScoredDraws, chosen: list[int]) -> None:
    """What the lines are, in the empty corner."""
    if len(grid) < 2:
        return
    lines = ["points: draws, colored by component"]
    of_elements = posterior.layout.element_coordinates
    if sum(of_elements[element] is not None for element in chosen) > 1:
        count = int((np.exp(posterior.mixture.log_weights) >= 1e-3).sum())
        which = f"the {MAX_ELLIPSES} heaviest components" if count > MAX_ELLIPSES else "components"
        lines.append(f"ellipses: {'1 and 2' if count <= FEW_ELLIPSES else '1'} sd of {which}")
    if np.isfinite(draws.log_ratios).any():
        lines.append("dark steps: reweighted draws")
    corner = grid[0, -1]
    corner.text(
        1.0,
        0.0,
        "\n".join(lines),
        transform=corner.transAxes,
        ha="right",
        va="bottom",
        fontsize=7,
        color=MUTED,
    )


def _write_verdict(grid, posterior) -> None:
    report = posterior.last_report
    if report is None or len(grid) < 2:
        return
    text = LEVEL_WORDS[report.level]
    text += f"\ncomponents: {report.num_components}, modes: {report.num_modes}"
    if np.isfinite(report.elbo):
        text += f"\nELBO {report.elbo:.3f}, k-hat {report.khat:.2f}"
    if posterior.layout.num_constrained > len(grid):
        text += f"\n{len(grid)} of {posterior.layout.num_constrained} parameters shown"
    corner = grid[0, -1]
    corner.text(
        1.0,
        1.0,
        text,
        transform=corner.transAxes,
        ha="right",
        va="top",
        fontsize=9,
        color=LEVEL_COLORS[report.level],
        fontweight="bold",
    )
