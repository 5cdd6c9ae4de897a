"""Pictures of a variational auto-encoder of images: what it draws, rebuilds and passes through."""

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes

from gmmvi_ext.math.random import stream
from gmmvi_ext.plotting.images import plot_image_grid
from gmmvi_ext.plotting.style import INK, MUTED, component_color, new_grid, tidy
from gmmvi_ext.ranges import Count, checked
from gmmvi_ext.types import TensorLike

if TYPE_CHECKING:
    from gmmvi_ext.amortized.vae import VAE

__all__ = [
    "plot_conditional_samples",
    "plot_interpolations",
    "plot_prior_components",
    "plot_prior_pairs",
    "plot_prior_samples",
]

MAX_COMPONENTS = 40
MAX_COORDINATES = 4
NUM_PRIOR_DRAWS = 2000


@checked
def plot_prior_samples(
    vae: "VAE",
    *,
    num_latents: Count = 12,
    num_draws: Count = 4,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draws from the model: each column has one z ~ p(z), the mean of p(x | z), and draws of it.

    Args:
      vae: a model of images.
      num_latents: columns.
      num_draws: x ~ p(x | z) of each column, below the mean.
      seed: of the draws.
      ax: axes to draw on, or None for a new figure.

    Example:
        >>> from gmmvi_ext.plotting import plot_prior_samples
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((8, 8, 1), 2)
        >>> axes = plot_prior_samples(vae, num_latents=4, num_draws=2)
        >>> axes.figure.savefig("images.png")
    """
    first, second = tf.unstack(tf.random.split(stream(seed, "vae pictures"), 2))
    z = vae.prior.distribution().sample(num_latents, seed=first)
    rows = [vae.decode(z)[tf.newaxis], vae.likelihood(z).sample(num_draws, seed=second)]
    title = "z from the prior: mean of p(x | z) (top row) and draws"
    return _grid(vae, tf.concat(rows, axis=0), title, ax)


@checked
def plot_conditional_samples(
    vae: "VAE",
    x: TensorLike,
    *,
    num_draws: Count = 4,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Reconstructions: each column has a datum, the mean of p(x | E[z]), and draws.

    Args:
      vae: a model of images.
      x: data [N, *event], a column each.
      num_draws: of z ~ q(z | x) and x ~ p(x | z), below the mean.
      seed: of the draws.
      ax: axes to draw on, or None for a new figure.

    Example:
        >>> from gmmvi_ext.plotting import plot_conditional_samples
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((8, 8, 1), 2)
        >>> x = np.random.default_rng(0).integers(0, 2, [6, 8, 8, 1]).astype("float32")
        >>> axes = plot_conditional_samples(vae, x, num_draws=2)
        >>> axes.figure.savefig("images.png")
    """
    x = tf.cast(x, vae.dtype)
    draws = vae.cond_sample(x, stream(seed, "vae pictures"), sample_size=num_draws)[1]
    rows = [x[tf.newaxis], vae.reconstruct(x)[tf.newaxis], draws]
    title = "data (top row), reconstructions, and draws given the data"
    return _grid(vae, tf.concat(rows, axis=0), title, ax)


@checked
def plot_interpolations(
    vae: "VAE",
    starts: TensorLike,
    ends: TensorLike,
    *,
    num_steps: Count = 9,
    ax: Axes | None = None,
) -> Axes:
    """Means of p(x | z) on straight lines between the codes of data, a row each.

    Args:
      vae: a model of images with a continuous latent variable.
      starts, ends: data [N, *event]; row n goes from `starts[n]` to `ends[n]`.
      num_steps: images of a row between the two data, which stand at its ends.
      ax: axes to draw on, or None for a new figure.

    Raises:
      ValueError: shapes that differ, or a discrete latent variable.

    Example:
        >>> from gmmvi_ext.plotting import plot_interpolations
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((8, 8, 1), 2)
        >>> x = np.random.default_rng(0).integers(0, 2, [6, 8, 8, 1]).astype("float32")
        >>> axes = plot_interpolations(vae, x[:3], x[3:], num_steps=5)
        >>> axes.figure.savefig("images.png")
    """
    if vae.prior.is_discrete:
        raise ValueError("there is nothing between the values of a discrete latent variable.")
    starts, ends = tf.cast(starts, vae.dtype), tf.cast(ends, vae.dtype)
    if starts.shape != ends.shape:
        raise ValueError(
            f"`ends` must have the shape of `starts`, {tuple(starts.shape)}, got "
            f"{tuple(ends.shape)}."
        )
    share = tf.reshape(
        tf.linspace(tf.zeros([], vae.dtype), 1.0, num_steps), [-1] + [1] * (vae.latent_ndims + 1)
    )
    codes = (1.0 - share) * vae.encode(starts) + share * vae.encode(ends)  # [T, N, *latent]
    shown = tf.concat([starts[tf.newaxis], vae.decode(codes), ends[tf.newaxis]], axis=0)
    order = [1, 0, *range(2, shown.shape.rank)]
    title = "data (both ends) and means of p(x | z) between their codes"
    return _grid(vae, tf.transpose(shown, order), title, ax)


def plot_prior_components(vae: "VAE", *, ax: Axes | None = None) -> Axes:
    """Means of p(x | z) at the components of a mixture prior, the heaviest first.

    Args:
      vae: a model of images with a mixture or VampPrior.
      ax: axes to draw on, or None for a new figure.

    Raises:
      ValueError: the prior is no mixture.

    Example:
        >>> from gmmvi_ext.plotting import plot_prior_components
        >>> from gmmvi_ext.amortized import build_vae, priors
        >>> vae = build_vae((8, 8, 1), 2, prior=priors.MixturePrior(3))
        >>> axes = plot_prior_components(vae)
        >>> axes.figure.savefig("images.png")
    """
    prior = _mixture(vae)
    weights = prior.mixture_distribution.probs_parameter().numpy()
    order = np.argsort(-weights)[:MAX_COMPONENTS]
    loc = tf.gather(prior.components_distribution.mean(), order)
    shown = weights[order]
    title = f"components of the prior: weights {shown[0]:.3f} (first) to {shown[-1]:.3f} (last)"
    images = _unit(vae, vae.decode(loc))
    return plot_image_grid(images, ax, num_columns=min(10, len(order)), title=title)


@checked
def plot_prior_pairs(
    vae: "VAE",
    x: TensorLike | None = None,
    labels: TensorLike | None = None,
    *,
    seed: int = 0,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """The trained prior in latent space: histograms of coordinates, pairs of them, codes of data.

    The coordinates that vary most over the data are shown, at most four.

    Args:
      vae: the model, with a continuous latent variable.
      x: data [N, *event] whose codes are drawn over the prior; None for none.
      labels: their classes, integers [N]; None for one color.
      seed: of the draws.
      axes: array of axes for the grid, or None for a new figure.

    Returns:
      the axes, [C, C] for C coordinates.

    Example:
        >>> from gmmvi_ext.plotting import plot_prior_pairs
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((8, 8, 1), 2)
        >>> x = np.random.default_rng(0).integers(0, 2, [6, 8, 8, 1]).astype("float32")
        >>> plot_prior_pairs(vae, x).shape
        (2, 2)
    """
    draws = vae.prior.distribution().sample(NUM_PRIOR_DRAWS, seed=stream(seed, "vae pictures"))
    draws = tf.reshape(draws, [NUM_PRIOR_DRAWS, -1]).numpy()
    codes = np.zeros((0, draws.shape[1]))
    if x is not None:
        codes = tf.reshape(vae.encode(x), [len(x), -1]).numpy()
    labels = np.zeros(len(codes), int) if labels is None else np.asarray(labels)
    spread = np.var(codes if len(codes) else draws, axis=0)
    chosen = np.sort(np.argsort(-spread)[:MAX_COORDINATES])
    axes = new_grid(axes, len(chosen), len(chosen))
    for row, first in enumerate(chosen):
        for column, second in enumerate(chosen):
            ax = axes[row, column]
            if column > row:
                ax.set_axis_off()
                continue
            tidy(ax)
            if row == column:
                options = {"bins": 25, "density": True}
                ax.hist(draws[:, first], color=MUTED, alpha=0.6, label="prior", **options)
                if len(codes):
                    ax.hist(codes[:, first], color=INK, histtype="step", label="codes", **options)
                ax.set_yticks([])
            else:
                ax.scatter(draws[:, second], draws[:, first], s=2, color=MUTED, alpha=0.4)
                for number, each in enumerate(np.unique(labels)):
                    own = codes[labels == each]
                    color = component_color(number)
                    ax.scatter(own[:, second], own[:, first], s=4, color=color, alpha=0.6)
            if row == len(chosen) - 1:
                ax.set_xlabel(f"z[{second}]", fontsize=8)
            if column == 0 and row > 0:
                ax.set_ylabel(f"z[{first}]", fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    return axes


def _mixture(vae):
    prior = vae.prior.distribution()
    if not hasattr(prior, "components_distribution"):
        raise ValueError("the prior has no components; build the model with prior='mixture'.")
    return prior


def _grid(vae, images, title: str, ax: Axes | None) -> Axes:
    """Images [rows, columns, *event] as a grid."""
    images = _unit(vae, images)
    flat = images.reshape(-1, *images.shape[2:])
    return plot_image_grid(flat, ax, num_columns=images.shape[1], title=title)


def _unit(vae, images) -> np.ndarray:
    """Images scaled to [0, 1]: levels by their number, real values by the extremes shown."""
    images = np.asarray(images, np.float64)
    rule = vae.likelihood.density.rule
    if rule.values == "real":
        low, high = images.min(), images.max()
        return (images - low) / max(high - low, 1e-12)
    return images / (getattr(rule, "num_classes", 2) - 1)
