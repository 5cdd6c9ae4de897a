"""What the data taught: the prior's marginals behind those of the posterior."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gmmvi_ext.constraints.layout import element_names
from gmmvi_ext.math.random import as_seed
from gmmvi_ext.plotting.marginals import (
    COLUMNS,
    choose_elements,
    draw_marginal,
    draws_to_plot,
    note_left_out,
    write_key,
)
from gmmvi_ext.plotting.style import MUTED, new_grid, plain_text
from gmmvi_ext.posterior.predictive import prior_draws
from gmmvi_ext.ranges import checked, require_count
from gmmvi_ext.targets.joint_distribution import quiet_sampling
from gmmvi_ext.types import Seed

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["plot_prior_posterior"]

BINS = 50
MOST_PRIOR_DRAWS = 4000  # of a model that draws one by one, some seconds
CELL = (2.6, 2.2)
TAIL = 0.01  # of the prior on each side that need not be seen
REACH = 3.0  # interquartile ranges from its median: heavy tails do not flatten the picture


@checked
def plot_prior_posterior(
    posterior: "Posterior",
    prior: Any = None,
    ax: np.ndarray | Sequence | None = None,
    *,
    names: str | int | Sequence[str | int] | None = None,
    max_parameters: int = 12,
    num_samples: int | None = None,
    seed: Seed = 0,
) -> np.ndarray:
    """Marginal densities of the prior (gray) behind those of the posterior (see `plot_marginals`).

    A posterior that looks like its prior was not informed by the data; one at the edge of its prior
    disagrees with it. Of heavy-tailed priors the outer part is not shown.

    Args:
      posterior: a `Posterior`.
      prior: anything that draws the parameters: a `Posterior`, a TFP distribution (the joint
        distribution before its data are pinned), or draws by name [N, *shape], as one array
        [N, D'] where nothing is named. Parameters that it lacks are not drawn, others ignored.
        None: the prior of the posterior's own model, if it has one.
      ax: array of axes, one per parameter, or None for a new figure.
      names: parts or elements to draw; default the leading ones that vary.
      max_parameters: how many at most.
      num_samples: draws of the posterior; default: those that are scored already (by `report`,
        say), or 10 000. Of the prior 4000 at most.
      seed: of the draws.

    Returns:
      the axes, [parameters].

    Raises:
      ValueError: the prior has none of the parameters, or draws of other shapes; or it is None and
        the model has none that can be drawn from.

    Example:
        >>> from gmmvi_ext.plotting import plot_prior_posterior
        >>> from gmmvi_ext.models import initial_mixture
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(1), parameter_names={"a": ()})
        >>> rng = np.random.default_rng(0)
        >>> axes = plot_prior_posterior(posterior, {"a": 3.0 * rng.normal(size=500)})
        >>> [text.get_text() for text in axes[0].get_legend().get_texts()]
        ['posterior', 'prior']
    """
    drawn = _draws(posterior, prior, min(num_samples or MOST_PRIOR_DRAWS, MOST_PRIOR_DRAWS), seed)
    columns = _by_element(posterior, drawn)
    labels = posterior.layout.constrained_names
    wanted = choose_elements(posterior, names, len(labels))
    require_count("max_parameters", max_parameters)
    chosen = [element for element in wanted if labels[element] in columns][:max_parameters]
    if not chosen:
        raise ValueError(
            f"`prior` has none of the parameters {[labels[i] for i in wanted]} of the posterior."
        )
    across = min(COLUMNS, len(chosen))
    if ax is None:
        grid = new_grid(None, math.ceil(len(chosen) / across), across, CELL).ravel()
    else:
        grid = new_grid(ax, 1, np.size(ax)).ravel()
        if grid.size < len(chosen):
            raise ValueError(f"`ax` must hold {len(chosen)} axes, got {grid.size}.")
    draws = draws_to_plot(posterior, num_samples, seed)
    for cell, element in zip(grid, chosen, strict=False):
        draw_marginal(posterior, cell, element, draws)
        _draw_prior(cell, columns[labels[element]])
        cell.set_xlabel(plain_text(labels[element]), fontsize=9)
    for unused in grid[len(chosen) :]:
        unused.set_axis_off()
    note_left_out(grid[across - 1], posterior, names, len(chosen))
    write_key(grid[0])
    return grid[: len(chosen)]


def _draws(posterior, prior, num_samples: int, seed):
    """Draws of the prior, by name or [N, D']."""
    if prior is None:
        return prior_draws(posterior, num_samples, seed)
    if hasattr(prior, "layout"):  # a `Posterior`
        return prior.sample(num_samples, seed)
    if not hasattr(prior, "sample"):
        return prior
    with quiet_sampling():
        drawn = prior.sample(num_samples, seed=as_seed(seed))
    return drawn._asdict() if hasattr(drawn, "_asdict") else drawn


def _by_element(posterior, draws) -> dict[str, np.ndarray]:
    """Element of a parameter -> its draws [N]; elements that are not drawn are left out."""
    shapes = posterior.layout.shapes or {"x": (posterior.layout.num_constrained,)}
    given = draws if isinstance(draws, Mapping) else {next(iter(shapes)): draws}
    if not isinstance(draws, Mapping) and len(shapes) > 1:
        raise ValueError(f"`prior` must name its draws: expected some of {list(shapes)}.")
    found: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        if name not in given:
            continue
        values = np.asarray(given[name], np.float64)
        if values.ndim != 1 + len(shape) or values.shape[1:] != tuple(shape):
            raise ValueError(
                f"draws of {name!r} from `prior` must have shape "
                f"[{', '.join(['N', *map(str, shape)])}], got {list(values.shape)}."
            )
        flat = values.reshape([len(values), -1])
        found.update(zip(element_names(name, tuple(shape)), flat.T, strict=True))
    return found


def _draw_prior(ax, draws: np.ndarray) -> None:
    """A gray histogram behind the posterior, whose window is widened to hold both."""
    draws = draws[np.isfinite(draws)]
    low, first, middle, third, high = np.quantile(draws, [TAIL, 0.25, 0.5, 0.75, 1.0 - TAIL])
    low = max(low, middle - REACH * (third - first))
    high = min(high, middle + REACH * (third - first))
    if not high > low:  # a constant
        ax.axvline(middle, color=MUTED, lw=1.0, label="prior", zorder=0)
        return
    edges = np.linspace(low, high, BINS + 1)
    count, _ = np.histogram(draws, edges)
    height = count / (len(draws) * (edges[1] - edges[0]))  # tails outside keep their mass
    (left, right), (_, top) = ax.get_xlim(), ax.get_ylim()
    ax.stairs(height, edges, color=MUTED, alpha=0.45, fill=True, label="prior", zorder=0)
    ax.set_xlim(min(left, low), max(right, high))
    ax.set_ylim(0.0, max(top, 1.05 * height.max()))
