"""Searches without gradients: CMA-ES from many points at once (Hansen, 2016, "The CMA Evolution
Strategy: A Tutorial").

A run is a Gaussian N(m, sigma^2 C) whose mean moves to the best of its draws, whose covariance
learns the steps that led there and whose size follows the length of the path. All runs draw
together: one batch of evaluations a generation. Plain NumPy: the packages that exist run one search
at a time, and none of them takes the evaluations of many in one call.
"""

import math
from collections.abc import Callable

import numpy as np

from gmmvi_ext.exploration.lbfgs import Runs
from gmmvi_ext.math.symmetric import cholesky_of, symmetric_eigen

__all__ = ["minimize_without_gradient"]

FLAT = 0.01  # nats between the best and the worst of a generation at which a run has arrived
ROUNDING = 8.0
MAX_GENERATIONS = 300
MAX_CONDITION = 1e14
LARGEST_SIZE = 1e12  # of a run, in units of its first covariance


def minimize_without_gradient(
    fn: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    max_evaluations: float,
    rng: np.random.Generator,
    largest: float = np.inf,
    *,
    scale: np.ndarray,
    epsilon: float = 0.0,
    is_done: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> tuple[Runs, np.ndarray]:
    """Runs from many points at once.

    Args:
      fn: values [n] at points [n, D]; values that are not finite are walls.
      points: where the runs begin, [R, D].
      max_evaluations: most points that `fn` may be asked for.
      rng: of the draws.
      largest: absolute coordinate beyond which `fn` is never asked.
      scale: Cholesky factor of the first covariance of every run, [R, D, D].
      epsilon: of the float format in which `fn` is computed.
      is_done: says of positions [R, D] and values [R] which runs need not go on, bool [R].

    Returns:
      the runs (gradients are zero), and Cholesky factors of their last covariances, [R, D, D]: the
      shape of the target around, not its size.
    """
    num_runs, dim = points.shape
    size = 4 + int(3 * math.log(dim))
    rates = _Rates(size, dim)
    mean = np.array(points, float)
    sigma = np.ones(num_runs)
    covariance = scale @ scale.swapaxes(1, 2)
    path_c, path_s = np.zeros_like(mean), np.zeros_like(mean)
    best, best_value = mean.copy(), np.full(num_runs, np.inf)
    rested, ended = np.zeros(num_runs, bool), np.zeros(num_runs, bool)
    for generation in range(MAX_GENERATIONS):
        rows = np.flatnonzero(~(rested | ended))
        if not len(rows) or len(rows) * size > max_evaluations:
            break
        values_c, basis = symmetric_eigen(covariance[rows])
        lowest = values_c[:, -1:] / MAX_CONDITION
        lengths = np.sqrt(np.maximum(values_c, lowest))  # [r, D]
        noise = rng.standard_normal((len(rows), size, dim))
        steps = np.einsum("rij,rj,rsj->rsi", basis, lengths, noise)
        x = mean[rows, np.newaxis] + sigma[rows, np.newaxis, np.newaxis] * steps
        value = np.full((len(rows), size), np.inf)
        inside = np.max(np.abs(x), axis=2) <= largest
        if inside.any():
            max_evaluations -= int(inside.sum())
            found = fn(x[inside])
            value[inside] = np.where(np.isfinite(found), found, np.inf)
        order = np.argsort(value, axis=1, kind="stable")
        steps = np.take_along_axis(steps, order[:, :, np.newaxis], axis=1)
        first = order[:, 0]
        top = value[np.arange(len(rows)), first]
        is_better = top < best_value[rows]
        best[rows[is_better]] = x[np.arange(len(rows)), first][is_better]
        best_value[rows[is_better]] = top[is_better]
        move = np.einsum("s,rsi->ri", rates.weights, steps[:, : len(rates.weights)])
        move[~np.isfinite(top)] = 0.0  # nothing finite: draw again
        mean[rows] += sigma[rows, np.newaxis] * move
        whitened = np.einsum("rji,rj->ri", basis, move) / lengths
        whitened = np.einsum("rij,rj->ri", basis, whitened)
        path_s[rows] = (1 - rates.c_sigma) * path_s[rows] + rates.path_s * whitened
        norm = np.linalg.norm(path_s[rows], axis=1)
        decay = math.sqrt(1 - (1 - rates.c_sigma) ** (2 * (generation + 1)))
        is_calm = norm / decay < (1.4 + 2 / (dim + 1)) * rates.expected
        path_c[rows] = (1 - rates.c_c) * path_c[rows] + (
            is_calm[:, np.newaxis] * rates.path_c * move
        )
        outer = path_c[rows][:, :, np.newaxis] * path_c[rows][:, np.newaxis, :]
        chosen = steps[:, : len(rates.weights)]
        spread = np.einsum("s,rsi,rsj->rij", rates.weights, chosen, chosen)
        rest = 1 - rates.c_1 - rates.c_mu + (~is_calm) * rates.c_1 * rates.c_c * (2 - rates.c_c)
        covariance[rows] = (
            rest[:, np.newaxis, np.newaxis] * covariance[rows]
            + rates.c_1 * outer
            + rates.c_mu * spread
        )
        growth = (rates.c_sigma / rates.damping) * (norm / rates.expected - 1)
        sigma[rows] = np.minimum(sigma[rows] * np.exp(np.minimum(growth, 1.0)), LARGEST_SIZE)
        middle = value[np.arange(len(rows)), order[:, size // 2]]
        with np.errstate(invalid="ignore"):
            flat = np.maximum(FLAT, ROUNDING * epsilon * np.abs(top))
            rested[rows] = np.isfinite(middle) & (middle - top <= flat)
        if is_done is not None:
            ended[rows] = is_done(best[rows], best_value[rows]) & np.isfinite(best_value[rows])
            rested &= ~ended
    level, basis = symmetric_eigen(covariance)
    factor = cholesky_of(basis * np.sqrt(np.maximum(level, 0.0))[:, np.newaxis, :])
    return Runs([best], best, best_value, np.zeros_like(best), rested, ended), factor


class _Rates:
    """Learning rates of populations of a size, as the tutorial gives them."""

    def __init__(self, size: int, dim: int):
        raw = math.log((size + 1) / 2) - np.log(np.arange(1, size // 2 + 1))
        self.weights = raw / raw.sum()
        effective = 1.0 / np.sum(self.weights**2)
        self.c_sigma = (effective + 2) / (dim + effective + 5)
        self.damping = 1 + 2 * max(0.0, math.sqrt((effective - 1) / (dim + 1)) - 1) + self.c_sigma
        self.c_c = (4 + effective / dim) / (dim + 4 + 2 * effective / dim)
        self.c_1 = 2 / ((dim + 1.3) ** 2 + effective)
        self.c_mu = min(
            1 - self.c_1, 2 * (effective - 2 + 1 / effective) / ((dim + 2) ** 2 + effective)
        )
        self.path_s = math.sqrt(self.c_sigma * (2 - self.c_sigma) * effective)
        self.path_c = math.sqrt(self.c_c * (2 - self.c_c) * effective)
        self.expected = math.sqrt(dim) * (1 - 1 / (4 * dim) + 1 / (21 * dim**2))
