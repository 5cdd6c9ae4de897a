"""Gaussians at points of a target: covariance = inverse of minus the Hessian, and the mass there.

Hessians come from differences of gradients. Steps are a small part of a width that is known
beforehand; at a mode they are made again with the widths that the first ones showed, where those
are of another size (a mode may be a thousandth as wide as the region that was searched, or reach
far beyond it). Without gradients a quadratic function is fitted to values around the mode, in the
shape that the search has learned.

Where a mode is bent (a thin curved sheet) that Gaussian leaves it within a small part of its
widths, and its ELBO lies thousands of nats below the mass. `fitting_gaussians` then adds a ridge to
the precision, 1 / (s w)^2 with the largest width w and s = 1/2, 1/4, ..., while the ELBO gains.
"""

from typing import NamedTuple

import numpy as np

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.math.symmetric import cholesky_of, symmetric_eigen

__all__ = [
    "MAX_SHORT",
    "NUM_ELBO_DRAWS",
    "ScoredGaussians",
    "fitted_cost",
    "fitted_hessians",
    "fitting_gaussians",
    "hessian_cost",
    "inverse_hessians",
    "laplace_mass",
    "scored",
]

NUM_ELBO_DRAWS = 24
MAX_FULL_HESSIAN = 100
NUM_HESSIAN_PROBES = 16
FIRST_STEP, LATER_STEP = 0.01, 0.05  # in units of the width
NARROW, WIDE = 1e-3, 1.0  # variances in units of the width beyond which differences are made again
FLAT = 30.0  # roundings of the largest curvature below which one is not told from zero
MAX_REPEATS = 3
MAX_GROWTH = 30.0  # of a width from one repeat to the next
NUM_SIZE_DRAWS = 3
MAX_FITTED = 25  # dimensions up to which a quadratic function has all its coefficients
WIDEST = 1e6  # standard deviation that a mode can have
MAX_SHORT, MIN_GAIN = 3.0, 0.5  # nats: of an ELBO below what curvature promises, and by a ridge
MAX_HALVINGS = 16


def hessian_cost(dim: int) -> int:
    """Evaluations of one Hessian by differences."""
    return 2 * (dim if dim <= MAX_FULL_HESSIAN else NUM_HESSIAN_PROBES)


def inverse_hessians(
    counted: CountedTarget,
    points: np.ndarray,
    scale: np.ndarray,
    rng: np.random.Generator,
    *,
    are_modes: bool = False,
) -> np.ndarray:
    """Cholesky factors of inverse minus-Hessians, [C, D, D].

    Args:
      counted: the target.
      points: [C, D].
      scale: width of what is searched by dimension, [D].
      rng: of the probes in more than a hundred dimensions, where covariances are diagonal.
      are_modes: covariances may be wider than `scale`; on the way to a mode curvature says little
        about the mass around, and they may not.
    """
    widths = np.tile(np.asarray(scale, float), (len(points), 1))
    precision, basis = _curvatures(counted, points, widths, FIRST_STEP, rng)
    if are_modes:
        again = np.arange(len(points))
        for _ in range(MAX_REPEATS):
            part = precision[again]
            top, low = part.max(axis=1), part.min(axis=1)
            again = again[(top > 1.0 / NARROW) | (low < 1.0 / WIDE)]
            if not len(again):
                break
            diagonal = np.einsum("cij,cj,cij->ci", basis[again], precision[again], basis[again])
            shrink = np.sqrt(np.clip(diagonal, MAX_GROWTH**-2, None))
            new = np.minimum(widths[again] / shrink, WIDEST)
            is_new = np.any(np.abs(np.log(new / widths[again])) > np.log(3.0), axis=1)
            again, new = again[is_new], new[is_new]
            if not len(again):
                break
            widths[again] = new
            precision[again], basis[again] = _curvatures(
                counted, points[again], new, LATER_STEP, rng
            )
    top = precision.max(axis=1, keepdims=True)
    # Flat and rising directions, as far as differences tell: as wide as the region, not wider.
    region = np.min(widths / scale, axis=1, keepdims=True) ** 2 if are_modes else 1.0
    is_flat = precision <= (FLAT * counted.epsilon * top if are_modes else 0.0)
    precision = np.where(is_flat, region, precision)
    variance = 1.0 / np.clip(precision, 1e-12 if are_modes else 1.0, 1e12)
    return cholesky_of(widths[:, :, np.newaxis] * basis * np.sqrt(variance)[:, np.newaxis, :])


def _curvatures(counted: CountedTarget, points, widths, step, rng):
    """Eigenvalues [C, D] and vectors [C, D, D] of minus the Hessian in units of `widths` [C, D]."""
    count, dim = points.shape
    is_full = dim <= MAX_FULL_HESSIAN
    directions = np.eye(dim) if is_full else rng.choice([-1.0, 1.0], (NUM_HESSIAN_PROBES, dim))
    move = step * widths[:, np.newaxis, :] * directions  # [C, P, D]
    center = points[:, np.newaxis, :]
    shifted = np.stack([center + move, center - move])  # [2, C, P, D]
    grads = counted.grads(shifted.reshape(-1, dim)).reshape(shifted.shape)
    # Rows: minus the Hessian in units of the widths, times the direction.
    with np.errstate(invalid="ignore", over="ignore"):
        rows = -(grads[0] - grads[1]) / (2.0 * step) * widths[:, np.newaxis, :]
    rows = np.where(np.isfinite(rows), rows, 0.0)
    if is_full:
        return symmetric_eigen(rows)
    precision = np.mean(rows * directions, axis=1)
    return precision, np.broadcast_to(np.eye(dim), (count, dim, dim)).copy()


def fitted_hessians(
    counted: CountedTarget, points: np.ndarray, shapes: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The same at modes of a target without gradients, by least squares.

    Args:
      counted: the target.
      points: [C, D].
      shapes: Cholesky factors of covariances that are about right up to their size, [C, D, D].
      rng: of the points around.
    """
    count, dim = points.shape
    # The size at which the log density has fallen by about D / 2, as at draws of the Gaussian.
    sizes = 10.0 ** np.arange(-5.0, 4.0, 0.5)
    z = rng.standard_normal((NUM_SIZE_DRAWS, dim))
    top = counted.values(points)
    around = np.einsum("t,cij,sj->ctsi", sizes, shapes, z) + points[:, np.newaxis, np.newaxis]
    values = counted.values(around.reshape(-1, dim)).reshape(count, len(sizes), -1)
    with np.errstate(invalid="ignore"):
        fall = np.median(top[:, np.newaxis, np.newaxis] - values, axis=2)
    is_near = np.isfinite(fall) & (fall <= 0.5 * dim)
    chosen = np.where(is_near.any(axis=1), len(sizes) - 1 - np.argmax(is_near[:, ::-1], axis=1), 0)
    scaled = shapes * sizes[chosen][:, np.newaxis, np.newaxis]
    is_full = dim <= MAX_FITTED
    upper = np.triu_indices(dim) if is_full else (np.arange(dim), np.arange(dim))
    num_draws = 2 * (1 + dim + len(upper[0]))
    z = rng.standard_normal((num_draws, dim))
    features = np.concatenate([np.ones((num_draws, 1)), z, z[:, upper[0]] * z[:, upper[1]]], axis=1)
    x = points[:, np.newaxis] + np.einsum("cij,sj->csi", scaled, z)
    values = counted.values(x.reshape(-1, dim)).reshape(count, num_draws)
    precision = np.empty((count, dim, dim))
    for row, value in enumerate(values):  # few modes, and draws that are not finite differ
        used = np.isfinite(value)
        found = np.linalg.lstsq(features[used], value[used], rcond=None)[0][1 + dim :]
        half = np.zeros((dim, dim))
        half[upper] = -found
        precision[row] = half + half.T
    level, basis = symmetric_eigen(precision)
    level = np.where(level > 1e-2, level, 1.0)
    root = np.einsum("cij,cjk,ck->cik", scaled, basis, 1.0 / np.sqrt(level))
    return cholesky_of(root)


def fitted_cost(dim: int) -> int:
    """Evaluations of one of them."""
    pairs = dim * (dim + 1) // 2 if dim <= MAX_FITTED else dim
    return 1 + 18 * NUM_SIZE_DRAWS + 2 * (1 + dim + pairs)


class ScoredGaussians(NamedTuple):
    """Draws of C Gaussians, in pairs around their means, with two log densities.

    Attributes:
      x: [C, S, D].
      log_c: of the Gaussian, [C, S].
      log_p: of the target, -inf where it is not finite, [C, S].
    """

    x: np.ndarray
    log_c: np.ndarray
    log_p: np.ndarray

    @property
    def elbos(self) -> np.ndarray:
        """E_c[log p - log c] over finite draws [C], -inf where the target mostly is not finite."""
        finite = np.isfinite(self.log_p)
        total = np.where(finite, self.log_p - self.log_c, 0.0).sum(axis=1)
        mean = total / np.maximum(finite.sum(axis=1), 1)
        return np.where(finite.mean(axis=1) > 0.5, mean, -np.inf)


def scored(
    counted: CountedTarget, points: np.ndarray, factors: np.ndarray, rng: np.random.Generator
) -> ScoredGaussians:
    """Draws of the Gaussians with means [C, D] and Cholesky factors [C, D, D].

    log c is that of the draws, so that log p - log c is exact where the target is that Gaussian.
    """
    count, dim = points.shape
    half = rng.standard_normal((NUM_ELBO_DRAWS // 2, dim))
    noise = np.concatenate([half, -half])
    x = points[:, np.newaxis] + np.einsum("cij,sj->csi", factors, noise)
    log_p = counted.values(x.reshape(-1, dim)).reshape(count, -1)
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    log_c = -0.5 * np.sum(noise**2, axis=1) - 0.5 * dim * np.log(2 * np.pi) - log_det[:, np.newaxis]
    return ScoredGaussians(x, log_c, log_p)


def laplace_mass(height, factor: np.ndarray):
    """Log mass around modes if the log density falls from its height [...] as the curvature says.

    Args:
      height: log density at the mode, [...].
      factor: Cholesky factor of the inverse Hessian, [..., D, D].
    """
    log_det = np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(axis=-1)
    return height + log_det + 0.5 * factor.shape[-1] * np.log(2 * np.pi)


def fitting_gaussians(
    counted: CountedTarget,
    points: np.ndarray,
    heights: np.ndarray,
    factors: np.ndarray,
    rng: np.random.Generator,
    max_evaluations: float,
) -> tuple[np.ndarray, ScoredGaussians, np.ndarray]:
    """The Gaussians at modes as far as they fit: Cholesky factors [C, D, D], and their draws.

    And by how much the ELBO, which is what is sure of the mass, stays below what curvature promises
    (Laplace's approximation), [C]; 0 where there is no ELBO.

    Args:
      counted: the target.
      points: modes, [C, D].
      heights: log densities there, [C].
      factors: of inverse Hessians, [C, D, D].
      rng: of the draws.
      max_evaluations: of the target, beyond the draws of the Gaussians as they are given.
    """
    if not len(points):
        nothing = np.zeros((0, NUM_ELBO_DRAWS))
        drawn = ScoredGaussians(nothing[:, :, np.newaxis], nothing, nothing)
        return factors, drawn, np.zeros(0)
    seed = rng.integers(2**32)  # of all draws: the same noise tells which factor is better
    drawn = scored(counted, points, factors, np.random.default_rng(seed))
    promised = laplace_mass(heights, factors)
    rows = np.flatnonzero(~(drawn.elbos >= promised - MAX_SHORT))  # also -inf
    basis, widths, _ = np.linalg.svd(factors)
    kept = factors.copy()
    for halving in range(1, MAX_HALVINGS + 1):
        max_evaluations -= len(rows) * NUM_ELBO_DRAWS
        if not len(rows) or max_evaluations < 0:
            break
        ridge = 4.0**halving / widths[rows, :1] ** 2
        narrowed = 1.0 / np.sqrt(1.0 / widths[rows] ** 2 + ridge)
        tried = cholesky_of(basis[rows] * narrowed[:, np.newaxis])
        found = scored(counted, points[rows], tried, np.random.default_rng(seed))
        # A bent mode may need several steps until most draws are finite. More than curvature
        # promises is no mode: rounding, far out, that is taken for height.
        gains = ~(found.elbos < drawn.elbos[rows] + MIN_GAIN)
        gains &= found.elbos <= promised[rows] + MAX_SHORT
        rows, taken = rows[gains], np.flatnonzero(gains)
        kept[rows] = tried[taken]
        for field, new in zip(drawn, found, strict=True):
            field[rows] = new[taken]
    elbos = drawn.elbos
    return kept, drawn, np.where(np.isfinite(elbos), promised - elbos, 0.0)
