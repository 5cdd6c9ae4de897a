"""Modes of a Gaussian mixture: which components make up one bump of the density.

Many components may describe one curved or heavy-tailed mode. Two steps find the modes:

  1. every component mean climbs the mixture density by the fixed point of a Gaussian mixture,
     x <- (sum_k gamma_k(x) P_k)^-1 sum_k gamma_k(x) P_k mu_k, with P_k the precisions;
  2. two peaks are one mode if the density along a path between them (the straight line, or the
     ridge of their two components) never falls below `dip` times the lower peak.

References:
  Carreira-Perpinan (2000), Mode-finding for mixtures of Gaussian distributions, IEEE TPAMI 22(11).
  Ray, Lindsay (2005), The topography of multivariate normal mixtures, Annals of Statistics 33(5).
"""

from typing import NamedTuple

import numpy as np

from gmmvi_ext.diagnostics.density import DensityMixture
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.ranges import Range, require, require_count

__all__ = ["Modes", "find_modes"]

NEIGHBORS = 8  # peaks to which each peak is compared; chains connect the rest
LOCAL_COMPONENTS = 10  # nearest components of each end that make up the density on a path
PATH_POINTS = 9


class Modes(NamedTuple):
    """Modes of a mixture, heaviest first.

    Attributes:
      location: highest point of each mode, [M, D].
      weight: total weight of its components, [M].
      log_prob: mixture log density at `location`, [M].
      num_components: components in each mode, [M].
      mode_of_component: mode of each component, [K]; -1 for components without weight.

    Example:
        >>> from gmmvi_ext.diagnostics import find_modes
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
        >>> components = DiagonalGaussians(tf.constant([[0.0], [0.5], [9.0]]), tf.ones([3, 1]))
        >>> modes = find_modes(Mixture(tf.math.log([0.4, 0.4, 0.2]), components))
        >>> print(modes.weight.round(3), modes.num_components, modes.mode_of_component)
        [0.8 0.2] [2 1] [0 0 1]
        >>> modes.count(min_weight=0.5)
        1
    """

    location: np.ndarray
    weight: np.ndarray
    log_prob: np.ndarray
    num_components: np.ndarray
    mode_of_component: np.ndarray

    def count(self, min_weight: float | None = None) -> int:
        """Number of modes that carry at least `min_weight`.

        By default a thousandth, or a tenth of an equal share of more than a hundred components.
        """
        if min_weight is None:
            min_weight = min(1e-3, 0.1 / self.mode_of_component.size)
        return int((self.weight >= min_weight).sum())


def find_modes(mixture: Mixture, *, dip: float = 0.5, num_iterations: int = 50) -> Modes:
    """Groups the components of `mixture` into modes of its density.

    Args:
      mixture: K components on R^D.
      dip: two peaks are separate modes if the density between them falls below this fraction of
        the lower one; in (0, 1]. Smaller values merge more.
      num_iterations: largest number of ascent steps.

    Example:
        >>> from gmmvi_ext.diagnostics import find_modes
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
        >>> components = DiagonalGaussians(tf.constant([[0.0], [0.5], [9.0]]), tf.ones([3, 1]))
        >>> modes = find_modes(Mixture(tf.math.log([0.4, 0.4, 0.2]), components))
        >>> print(modes.location[:, 0].round(2), modes.weight.round(3))  # two share a mode
        [0.25 9.  ] [0.8 0.2]
    """
    if not isinstance(mixture, Mixture):
        raise TypeError(f"`mixture` must be a Mixture, got {type(mixture).__name__}.")
    require(dip in Range(0, 1, open_low=True), "dip", "in (0, 1]", dip)
    require_count("num_iterations", num_iterations, at_least=0)
    density = DensityMixture.of(mixture)
    peaks = _climb(density, num_iterations)
    heights = density.log_prob(peaks)
    group = _merge_peaks(density, peaks, np.log(dip))

    labels = np.unique(group)
    weights = np.exp(density.log_weights)
    location, weight, height, size = [], [], [], []
    for label in labels:
        members = np.flatnonzero(group == label)
        best = members[np.argmax(heights[members])]
        location.append(peaks[best])
        height.append(heights[best])
        weight.append(weights[members].sum())
        size.append(members.size)
    order = np.argsort(-np.asarray(weight), kind="stable")
    rank = np.empty(labels.size, int)
    rank[order] = np.arange(labels.size)
    mode_of_component = np.full(density.alive.size, -1)
    mode_of_component[density.alive] = rank[np.searchsorted(labels, group)]
    return Modes(
        np.asarray(location)[order],
        np.asarray(weight)[order],
        np.asarray(height)[order],
        np.asarray(size)[order],
        mode_of_component,
    )


def _climb(density: DensityMixture, num_iterations: int) -> np.ndarray:
    """Moves every component mean uphill until it rests, [K, D]."""
    points = density.loc.copy()
    active = np.arange(len(points))
    for _ in range(num_iterations):
        moved = density.ascend(points[active])
        step = (np.abs(moved - points[active]) / density.scale).max(1)
        points[active] = moved
        active = active[step > 1e-4]
        if active.size == 0:
            break
    return points


def _merge_peaks(density, peaks, log_dip) -> np.ndarray:
    """Group label of every peak, [K]."""
    num = len(peaks)
    label = np.arange(num)
    if num == 1:
        return label
    distance = density.squared_distances(peaks)  # [K points, K components]
    near = np.argsort(distance, axis=1)[:, :LOCAL_COMPONENTS]
    distance = np.minimum(distance, distance.T)
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1)[:, : min(NEIGHBORS, num - 1)]
    for rank in range(order.shape[1]):
        # Peaks that earlier rounds connected need no path of their own.
        first, second = np.arange(num), order[:, rank]
        first, second = np.minimum(first, second), np.maximum(first, second)
        first, second = np.unique(np.stack([first, second]), axis=1)
        open_pairs = label[first] != label[second]
        first, second = first[open_pairs], second[open_pairs]
        if first.size == 0:
            continue
        connected = _are_connected(density, peaks, near, first, second, log_dip)
        for i, j in zip(first[connected], second[connected], strict=True):
            low, high = sorted((label[i], label[j]))
            label[label == high] = low
    return label


def _are_connected(density, peaks, near, first, second, log_dip) -> np.ndarray:
    """Which pairs of peaks have a path between them that stays above the dip, bool [P]."""
    index = np.concatenate([near[first], near[second], first[:, None], second[:, None]], axis=1)
    index = _without_repetition(index)
    straight = density.local_log_prob(_straight(peaks, first, second), *index)
    # The ends are measured with the same components as the path between them.
    floor = np.minimum(straight[:, 0], straight[:, -1]) + log_dip
    connected = straight.min(1) >= floor
    rest = np.flatnonzero(~connected)
    if rest.size:
        ridge = density.ridge(first[rest], second[rest], PATH_POINTS)
        part = tuple(each[rest] for each in index)
        connected[rest] = density.local_log_prob(ridge, *part).min(1) >= floor[rest]
    return connected


def _without_repetition(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted rows, and which entries count (the first of each value)."""
    index = np.sort(index, axis=1)
    counts = np.ones(index.shape, bool)
    counts[:, 1:] = index[:, 1:] != index[:, :-1]
    return index, counts


def _straight(peaks, first, second) -> np.ndarray:
    """Points on the line between two peaks, ends included, [P, PATH_POINTS + 2, D]."""
    t = np.linspace(0.0, 1.0, PATH_POINTS + 2)[:, None]
    return peaks[first][:, None] * (1.0 - t) + peaks[second][:, None] * t
