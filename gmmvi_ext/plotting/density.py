"""Two parameters: the target as shades, the mixture as contours, and a mixture that learns."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes

from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.math.random import as_seed
from gmmvi_ext.plotting.marginals import element_labels
from gmmvi_ext.plotting.style import INK, PALETTE, new_axes, off_screen, tidy
from gmmvi_ext.posterior.evaluation_cost import draws_within
from gmmvi_ext.posterior.importance.draws import evaluate_target, sample_mixture
from gmmvi_ext.ranges import checked, require_count
from gmmvi_ext.types import Seed

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["animate_density_2d", "plot_density_2d"]

SHADED = 10.0  # nats below the top of the target that are shaded
# Levels of the mixture, in nats below its top: 0.5, 1, ... 4 standard deviations of a Gaussian.
DEPTHS = 0.5 * np.arange(4.0, 0.0, -0.5) ** 2
MIN_WEIGHT = 1e-3  # lightest component whose mean is marked
TAIL = 0.002
NUM_DRAWS = 4000


@checked
def plot_density_2d(
    posterior: "Posterior",
    ax: Axes | None = None,
    *,
    limits: Sequence[tuple[float, float]] | None = None,
    grid_size: int | None = None,
    num_samples: int = NUM_DRAWS,
    seed: Seed = 0,
) -> Axes:
    """The log density of the target (shades) and of the mixture (lines) in the constrained space.

        posterior.plot_density_2d(limits=((-3, 3), (-2, 6)))

    Args:
      posterior: a `Posterior` of two parameters; `marginal` makes one, which has no target.
      ax: axes to draw on, or None for a new figure.
      limits: ((low, high), (low, high)) of the two parameters; by default those of the draws.
      grid_size: points of the grid along each axis; default 150, fewer of a slow target.
      num_samples: draws that decide on the limits.
      seed: of the draws.

    Raises:
      ValueError: the posterior has not two parameters.

    Example:
        >>> from gmmvi_ext.plotting import plot_density_2d
        >>> from gmmvi_ext.models import initial_mixture
        >>> names = {"a": (), "b": ()}
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
        >>> axes = plot_density_2d(posterior, limits=((-3, 3), (-3, 3)), grid_size=20)
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('a', 'b')
    """
    _require_plane(posterior)
    limits = _limits(posterior, num_samples, seed) if limits is None else limits
    axes, points = _grid(limits, _grid_size(posterior, 150) if grid_size is None else grid_size)
    ax = new_axes(ax, size=(6.0, 5.0))
    if posterior.target is not None:
        shades = _shade(ax, axes, _target_log_prob(posterior, points))
        bar = ax.figure.colorbar(shades, ax=ax, ticks=np.arange(-SHADED, 1.0, 2.0))
        bar.set_label("log density of the target below its top", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    _draw_mixture(ax, axes, points, posterior)
    _label(ax, posterior, limits)
    _write_key(ax)
    return ax


@checked
def animate_density_2d(
    posteriors: Sequence,
    *,
    titles: Sequence[str] = (),
    limits: Sequence[tuple[float, float]] | None = None,
    grid_size: int | None = None,
    interval: int = 250,
) -> FuncAnimation:
    """A mixture that learns, frame by frame: `plot_density_2d` of each posterior in turn.

        frames = [Posterior(algorithm.mixture(), target=target) for _ in algorithm.steps(...)]
        animate_density_2d(frames).save("learning.gif")       # or .to_jshtml() in a notebook

    Args:
      posteriors: of the same two parameters; the target of the last one is shaded.
      titles: a title for each frame.
      limits: as for `plot_density_2d`; by default those of the last posterior's draws.
      grid_size: points of the grid along each axis; default 100, fewer of a slow target.
      interval: milliseconds between frames.

    Raises:
      ValueError: there is no posterior, or one has not two parameters.

    Example:
        >>> from gmmvi_ext.plotting import animate_density_2d
        >>> from gmmvi_ext.models import initial_mixture
        >>> mixtures = [initial_mixture(2, prior_scale=scale) for scale in (3.0, 2.0, 1.0)]
        >>> frames = [gmmvi_ext.Posterior(mixture) for mixture in mixtures]
        >>> movie = animate_density_2d(frames, grid_size=20)
        >>> movie.save("learning.gif", writer="pillow", dpi=30)
    """
    if not posteriors:
        raise ValueError("`posteriors` must hold at least one posterior.")
    for posterior in posteriors:
        _require_plane(posterior)
    last = posteriors[-1]
    limits = _limits(last, NUM_DRAWS, 0) if limits is None else limits
    axes, points = _grid(limits, _grid_size(last, 100) if grid_size is None else grid_size)
    truth = None if last.target is None else _target_log_prob(last, points)
    with off_screen():  # the animation is shown, not its first frame
        ax = new_axes(None, size=(5.0, 4.4))

    def draw(number: int):
        ax.clear()
        if truth is not None:
            _shade(ax, axes, truth)
        _draw_mixture(ax, axes, points, posteriors[number])
        _label(ax, posteriors[number], limits)
        if number < len(titles):
            ax.set_title(titles[number], loc="left", fontsize=10, color=INK)
        return []

    return FuncAnimation(ax.figure, draw, frames=len(posteriors), interval=interval)


def _require_plane(posterior) -> None:
    if posterior.layout.num_constrained != 2 or posterior.layout.num_dimensions != 2:
        raise ValueError(
            "a plane needs two parameters, this posterior has "
            f"{posterior.layout.constrained_names}; take two: `posterior.marginal([...])`."
        )


def _limits(posterior, num_samples: int, seed):
    """Where draws of the mixture lie, and those of a target that has exact ones."""
    x, _ = sample_mixture(posterior.mixture, num_samples, seed)
    if posterior.target is not None and posterior.target.can_sample:
        x = np.concatenate([x, np.asarray(posterior.target.sample(num_samples, as_seed(seed)))])
    values = posterior.layout.forward_flat(tf.constant(x, posterior.mixture.dtype)).numpy()
    low, high = np.quantile(values, [TAIL, 1.0 - TAIL], axis=0)
    margin = 0.1 * (high - low)
    return tuple(zip(low - margin, high + margin, strict=True))


def _grid_size(posterior, most: int) -> int:
    """Points along each axis that there is time for."""
    return math.isqrt(draws_within(posterior, most**2).number)


def _grid(limits, size: int):
    """The two axes, and the points [size**2, 2] with the first parameter running fastest."""
    require_count("grid_size", size, at_least=2)
    ranges = as_numbers(limits, "`limits`")
    if ranges.shape != (2, 2) or not (
        np.isfinite(ranges).all() and (ranges[:, 0] < ranges[:, 1]).all()
    ):
        raise ValueError(
            "`limits` must be ((low, high), (low, high)) of the two parameters, finite numbers, "
            f"got {limits!r}."
        )
    axes = [np.linspace(*side, size) for side in ranges]
    return axes, np.stack(np.meshgrid(*axes, indexing="xy"), axis=-1).reshape(-1, 2)


def _target_log_prob(posterior, points: np.ndarray) -> np.ndarray:
    """Unnormalized log density of the target at constrained points, -inf outside its support."""
    layout, dtype = posterior.layout, posterior.target.dtype
    y = tf.constant(points, dtype)
    outside = layout.outside(y)
    inside = layout.forward_flat(tf.zeros([1, layout.num_dimensions], dtype))
    x = layout.inverse_flat(tf.where(outside[:, None], inside, y))
    value = np.asarray(evaluate_target(posterior.target, x, 0), np.float64)
    value -= layout.log_det(x).numpy()
    return np.where(outside | ~np.isfinite(value), -np.inf, value)


def _shade(ax: Axes, axes, log_prob: np.ndarray):
    finite = log_prob[np.isfinite(log_prob)]
    top = finite.max() if finite.size else 0.0
    depth = np.clip(log_prob - top, -SHADED, 0.0).reshape(axes[1].size, axes[0].size)
    return ax.contourf(*axes, depth, levels=np.linspace(-SHADED, 0.0, 25), cmap="Blues")


def _draw_mixture(ax: Axes, axes, points: np.ndarray, posterior) -> None:
    layout = posterior.layout
    flat = np.asarray(points, posterior.mixture.dtype.as_numpy_dtype)
    log_prob = np.asarray(posterior.log_prob(layout.unpack(flat)), np.float64)
    log_prob = np.where(np.isfinite(log_prob), log_prob, -1e30)
    ax.contour(
        *axes,
        log_prob.reshape(axes[1].size, axes[0].size),
        levels=log_prob.max() - DEPTHS,
        colors=PALETTE[6],
        linestyles="solid",
        linewidths=1.0,
    )
    weights = np.exp(np.asarray(posterior.mixture.log_weights, np.float64))
    means = layout.forward_flat(posterior.mixture.components.loc).numpy()[weights > MIN_WEIGHT]
    ax.plot(*means.T, "o", color="white", markeredgecolor=INK, markersize=4)


def _write_key(ax: Axes) -> None:
    """What is drawn, inside: the titles belong to the caller."""
    ax.text(
        0.985,
        0.015,
        "lines: mixture, dots: means of its components",
        transform=ax.transAxes,
        ha="right",
        va="bottom",
        fontsize=7,
        color=INK,
        bbox={"boxstyle": "square,pad=0.2", "facecolor": "white", "alpha": 0.7, "lw": 0},
    )


def _label(ax: Axes, posterior, limits) -> None:
    names = element_labels(posterior)
    ax.set(xlim=limits[0], ylim=limits[1])
    ax.set_xlabel(names[0], fontsize=9)
    ax.set_ylabel(names[1], fontsize=9)
    tidy(ax)
