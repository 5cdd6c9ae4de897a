"""Grids of images: draws from a model, and data beside their reconstructions."""

import math

import numpy as np
from matplotlib.axes import Axes

from gmmvi_ext.plotting.style import INK, MUTED, new_axes
from gmmvi_ext.ranges import Count, checked
from gmmvi_ext.types import TensorLike

__all__ = ["plot_image_grid", "plot_reconstructions"]

GAP = 1  # pixels between two images
GAP_LEVELS = {1: 0.2, 3: 0.8}  # light gray: one channel is drawn dark on white


@checked
def plot_image_grid(
    images: TensorLike,
    ax: Axes | None = None,
    *,
    num_columns: Count | None = None,
    title: str = "Images",
) -> Axes:
    """Images side by side, row by row.

    Args:
      images: [N, height, width] or [N, height, width, channels] with one or three channels, in
        [0, 1] (others are clipped).
      ax: axes to draw on, or None for a new figure.
      num_columns: images of a row; default: about square.
      title: above the grid.

    Example:
        >>> from gmmvi_ext.plotting import plot_image_grid
        >>> images = np.random.default_rng(0).uniform(size=[6, 8, 8])
        >>> axes = plot_image_grid(images, num_columns=3, title="Noise")
        >>> axes.figure.savefig("noise.png")
    """
    images = _as_images(images)
    columns = num_columns or math.ceil(math.sqrt(len(images)))
    rows = -(-len(images) // columns)
    ax = new_axes(ax, size=(min(1.0 + 0.6 * columns, 9.0), min(1.0 + 0.6 * rows, 9.0)))
    _show(ax, _tiled(images, rows, columns))
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    return ax


@checked
def plot_reconstructions(
    images: TensorLike,
    reconstructions: TensorLike,
    ax: Axes | None = None,
    *,
    num_columns: Count = 12,
) -> Axes:
    """Data above what the model makes of them, in pairs of rows.

    Args:
      images: [N, height, width(, channels)].
      reconstructions: of the same shape.
      ax: axes to draw on, or None for a new figure.
      num_columns: images of a row.

    Raises:
      ValueError: the shapes differ.

    Example:
        >>> from gmmvi_ext.plotting import plot_reconstructions
        >>> images = np.random.default_rng(0).uniform(size=[6, 8, 8])
        >>> axes = plot_reconstructions(images, 0.9 * images)
        >>> axes.figure.savefig("images.png")
    """
    images, reconstructions = _as_images(images), _as_images(reconstructions)
    if images.shape != reconstructions.shape:
        raise ValueError(
            f"`reconstructions` must have the shape of `images`, {images.shape}, got "
            f"{reconstructions.shape}."
        )
    columns = min(num_columns, len(images))
    pieces = []
    for start in range(0, len(images), columns):
        for part in (images, reconstructions):
            row = part[start : start + columns]
            blank = np.full((columns - len(row), *row.shape[1:]), GAP_LEVELS[row.shape[-1]])
            pieces += [row, blank]
    tiles = np.concatenate(pieces)
    rows = len(tiles) // columns
    ax = new_axes(ax, size=(min(1.0 + 0.6 * columns, 9.0), min(1.0 + 0.6 * rows, 9.0)))
    _show(ax, _tiled(tiles, rows, columns))
    ax.set_title("Data (upper) and reconstructions (lower)", loc="left", fontsize=10, color=INK)
    height = images.shape[1] + GAP
    for pair in range(1, rows // 2):
        ax.axhline(2 * pair * height - GAP / 2 - 0.5, color=INK, linewidth=1.0)
    return ax


def _as_images(images) -> np.ndarray:
    images = np.asarray(images, np.float64)
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.ndim != 4 or len(images) == 0 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "`images` must have the shape [N, height, width] or [N, height, width, 1 or 3] with at "
            f"least one image, got {images.shape}."
        )
    return np.clip(images, 0.0, 1.0)


def _tiled(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    count, height, width, channels = images.shape
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels)
    canvas = np.full(shape, GAP_LEVELS[channels])
    for number in range(count):
        top, left = divmod(number, columns)
        top, left = top * (height + GAP), left * (width + GAP)
        canvas[top : top + height, left : left + width] = images[number]
    return canvas


def _show(ax: Axes, canvas: np.ndarray) -> None:
    shown = canvas[..., 0] if canvas.shape[-1] == 1 else canvas
    ax.imshow(shown, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(MUTED)
