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

__all__ = ["Modes", "find_modes"]

NEIGHBOURS = 8  # peaks to which each peak is compared; chains connect the rest
PATH_POINTS = 15


class Modes(NamedTuple):
    """Modes of a mixture, heaviest first.

    Attributes:
      location: highest point of each mode, [M, D].
      weight: total weight of its components, [M].
      log_prob: mixture log density at `location`, [M].
      num_components: components in each mode, [M].
      mode_of_component: mode of each component, [K]; -1 for components without weight.
    """

    location: np.ndarray
    weight: np.ndarray
    log_prob: np.ndarray
    num_components: np.ndarray
    mode_of_component: np.ndarray

    def count(self, min_weight: float = 1e-3) -> int:
        """Number of modes that carry at least `min_weight`."""
        return int((self.weight >= min_weight).sum())


def find_modes(mixture: Mixture, *, dip: float = 0.5, num_iterations: int = 100) -> Modes:
    """Groups the components of `mixture` into modes of its density.

    Args:
      mixture: K components on R^D.
      dip: two peaks are separate modes if the density between them falls below this fraction of
        the lower one; in (0, 1]. Smaller values merge more.
      num_iterations: largest number of ascent steps.
    """
    if not 0.0 < dip <= 1.0:
        raise ValueError(f"`dip` must lie in (0, 1], got {dip}.")
    density = DensityMixture.of(mixture)
    peaks = _climb(density, num_iterations)
    heights = density.log_prob(peaks)
    group = _merge_peaks(density, peaks, heights, np.log(dip))

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


def _merge_peaks(density, peaks, heights, log_dip) -> np.ndarray:
    """Group label of every peak, [K]."""
    num = len(peaks)
    label = np.arange(num)
    if num == 1:
        return label
    first, second = _neighbour_pairs(density, peaks)
    floor = np.minimum(heights[first], heights[second]) + log_dip
    connected = _path_minimum(density, _straight(peaks, first, second)) >= floor
    open_pairs = np.flatnonzero(~connected)
    if open_pairs.size:
        ridge = density.ridge(first[open_pairs], second[open_pairs], PATH_POINTS)
        connected[open_pairs] = _path_minimum(density, ridge) >= floor[open_pairs]
    for i, j in zip(first[connected], second[connected], strict=True):
        low, high = sorted((label[i], label[j]))
        label[label == high] = low
    return label


def _neighbour_pairs(density, peaks) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (i < j) of peaks that are near each other in the components' own metrics."""
    num = len(peaks)
    distance = density.squared_distances(peaks)  # [K points, K components]
    distance = np.minimum(distance, distance.T)
    np.fill_diagonal(distance, np.inf)
    if num - 1 <= NEIGHBOURS:
        return np.triu_indices(num, 1)
    nearest = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    rows = np.repeat(np.arange(num), NEIGHBOURS)
    pairs = np.unique(np.sort(np.stack([rows, nearest.ravel()], 1), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _straight(peaks, first, second) -> np.ndarray:
    """Points on the line between two peaks, [pairs, PATH_POINTS, D]."""
    t = np.linspace(0.0, 1.0, PATH_POINTS + 2)[1:-1, None]
    return peaks[first][:, None] * (1.0 - t) + peaks[second][:, None] * t


def _path_minimum(density, paths) -> np.ndarray:
    return density.log_prob(paths.reshape(-1, paths.shape[-1])).reshape(paths.shape[:2]).min(1)
