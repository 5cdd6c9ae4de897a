"""Pictures that several targets share: marginals. Figures are made without pyplot."""

import numpy as np

__all__ = ["marginals", "new_figure"]

MAX_MARGINALS = 20
GRID_SIZE = 1000


def new_figure(width: float, height: float):
    """Empty `matplotlib.figure.Figure` that no global state knows about."""
    from matplotlib.figure import Figure  # on use: plotting is optional at run time

    return Figure(figsize=(width, height), layout="constrained")


def mixture_marginals(mixture, grid: np.ndarray, dims) -> np.ndarray:
    """Densities of single coordinates of a Gaussian mixture, [len(dims), G]."""
    weights = np.exp(mixture.log_weights.numpy())[:, None, None]
    loc = mixture.components.loc.numpy()[:, list(dims), None]
    stddev = mixture.components.stddevs().numpy()[:, list(dims), None]
    density = np.exp(-0.5 * ((grid - loc) / stddev) ** 2) / (stddev * np.sqrt(2 * np.pi))
    return (weights * density).sum(axis=0)


def marginals(target, mixture, limits: tuple[float, float] | None = None):
    """Marginal densities of the first twenty coordinates, target (line) against mixture (dashes).

    Args:
      target: has `marginal_log_prob(grid, dims)`.
      mixture: `gaussians.Mixture`.
      limits: range of the grid; by default that of the target's centers and a margin.
    """
    dims = range(min(target.num_dimensions, MAX_MARGINALS))
    if limits is None:
        loc, spread = target.loc.numpy(), target.spread()
        limits = (float((loc - 4 * spread).min()), float((loc + 4 * spread).max()))
    grid = np.linspace(*limits, GRID_SIZE)
    truth = np.exp(target.marginal_log_prob(grid, dims))
    model = mixture_marginals(mixture, grid, dims)
    columns = min(len(dims), 5)
    rows = -(-len(dims) // columns)
    figure = new_figure(2.6 * columns, 1.9 * rows)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for ax in axes[len(dims) :]:
        ax.remove()
    for i, ax in enumerate(axes[: len(dims)]):
        ax.plot(grid, truth[i], color="0.25", linewidth=1.2, label="target")
        ax.plot(grid, model[i], color="tab:orange", linewidth=1.2, linestyle="--", label="mixture")
        ax.set_title(f"x[{dims[i]}]", fontsize=8)
        ax.set_yticks([])
        ax.tick_params(labelsize=7)
        if i == 0:
            ax.legend(fontsize=6, frameon=False)
    return figure
