"""Latent space of an amortized model: codes colored by class, and which components are used."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from gmmvi_ext.plotting.style import INK, component_color, new_axes, tidy
from gmmvi_ext.types import TensorLike

__all__ = ["plot_component_usage", "plot_latent_space"]

MAX_LEGEND = 12


def plot_latent_space(
    codes: TensorLike,
    labels: TensorLike | None = None,
    ax: Axes | None = None,
    *,
    names: Sequence[str] | None = None,
) -> Axes:
    """Codes in the plane, colored by class.

    With more than two dimensions, the plane that separates the class means best against the scatter
    within classes (Fisher's linear discriminants); without labels, the first two principal axes.

    Args:
      codes: means of q(z | x), [N, L].
      labels: class of each datum, integers [N]; None or all -1 for unknown.
      ax: axes to draw on, or None for a new figure.
      names: of the classes, by label.

    Example:
        >>> from gmmvi_ext.plotting import plot_latent_space
        >>> codes = np.random.default_rng(0).normal(size=[20, 5])
        >>> axes = plot_latent_space(codes, labels=np.arange(20) % 2, names=["even", "odd"])
        >>> axes.figure.savefig("codes.png")
    """
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or len(codes) == 0:
        raise ValueError(f"`codes` must have the shape [N, L] with N >= 1, got {codes.shape}.")
    labels = np.full(len(codes), -1) if labels is None else np.asarray(labels)
    if labels.shape != (len(codes),):
        raise ValueError(f"`labels` must have the shape [{len(codes)}], got {labels.shape}.")
    points, plane = _plane(codes, labels)
    ax = new_axes(ax, size=(6.0, 5.2))
    tidy(ax)
    classes = np.unique(labels)
    for number, each in enumerate(classes):
        own = points[labels == each]
        color = "#666666" if each < 0 else component_color(number)
        name = names[each] if names is not None and each >= 0 else str(each)
        ax.scatter(*own.T, s=9, color=color, alpha=0.6, linewidths=0, label=name)
        if each >= 0:
            ax.text(
                *np.median(own, axis=0),
                name,
                fontsize=11,
                fontweight="bold",
                color=INK,
                ha="center",
                va="center",
                bbox={
                    "boxstyle": "round,pad=0.15",
                    "facecolor": "white",
                    "alpha": 0.75,
                    "edgecolor": color,
                },
            )
    ax.set_xlabel(f"{plane} 1")
    ax.set_ylabel(f"{plane} 2")
    ax.set_title("Latent space", loc="left", fontsize=10, color=INK)
    return ax


def plot_component_usage(
    weights: TensorLike, labels: TensorLike | None = None, ax: Axes | None = None
) -> Axes:
    """How much each component of a mixture is used, as bars stacked by class.

    Args:
      weights: posterior probability of each component for each datum, [N, C].
      labels: class of each datum, integers [N]; None for one class.
      ax: axes to draw on, or None for a new figure.

    Example:
        >>> from gmmvi_ext.plotting import plot_component_usage
        >>> weights = np.array([[0.9, 0.1], [0.8, 0.2], [0.0, 1.0]])
        >>> axes = plot_component_usage(weights, labels=[0, 0, 1])
        >>> axes.get_xlabel()
        'component'
    """
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 2 or len(weights) == 0:
        raise ValueError(f"`weights` must have the shape [N, C] with N >= 1, got {weights.shape}.")
    labels = np.full(len(weights), -1) if labels is None else np.asarray(labels)
    ax = new_axes(ax)
    tidy(ax)
    count = weights.shape[1]
    bottom = np.zeros(count)
    classes = np.unique(labels)
    for number, each in enumerate(classes):
        share = weights[labels == each].sum(axis=0) / len(weights)
        color = "#666666" if each < 0 else component_color(number)
        ax.bar(np.arange(count), share, bottom=bottom, color=color, width=0.85, label=str(each))
        bottom += share
    ax.set_xlim(-0.6, count - 0.4)
    if count <= 30:
        ax.set_xticks(np.arange(count))
    ax.set_xlabel("component")
    ax.set_ylabel("share of the data")
    ax.set_title("Usage of components", loc="left", fontsize=10, color=INK)
    total = bottom / max(bottom.sum(), 1e-300)
    entropy = -np.sum(total[total > 0] * np.log(total[total > 0]))
    ax.set_title(f"{np.exp(entropy):.1f} of {count} effectively", loc="right", fontsize=10)
    if len(classes) > 1:
        ax.set_ylim(0, 1.3 * bottom.max())
        ax.legend(fontsize=7, frameon=False, ncols=min(len(classes), MAX_LEGEND), title="class")
    return ax


def _plane(codes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, str]:
    """Codes in two dimensions, and what the axes are."""
    if codes.shape[1] == 1:
        return np.column_stack([codes[:, 0], np.zeros(len(codes))]), "z"
    if codes.shape[1] == 2:
        return codes, "z"
    centered = codes - codes.mean(axis=0)
    classes = np.unique(labels[labels >= 0])
    if len(classes) < 3:
        _, _, axes = np.linalg.svd(centered, full_matrices=False)
        return centered @ axes[:2].T, "principal axis"
    within = np.zeros((codes.shape[1],) * 2)
    between = np.zeros_like(within)
    for each in classes:
        own = centered[labels == each]
        mean = own.mean(axis=0)
        within += (own - mean).T @ (own - mean) / len(codes)
        between += len(own) / len(codes) * np.outer(mean, mean)
    within += 1e-6 * np.trace(within) / len(within) * np.eye(len(within))
    factor = np.linalg.inv(np.linalg.cholesky(within))
    _, vectors = np.linalg.eigh(factor @ between @ factor.T)
    return centered @ factor.T @ vectors[:, :-3:-1], "discriminant"
