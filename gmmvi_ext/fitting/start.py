"""Where a fit starts: Gaussians along several short quasi-Newton runs, weighed by their ELBO.

    1  starting points: draws of the prior, or of Gaussians of several widths around zero
    2  L-BFGS from all of them at once, stopped and looked at a few times on the way
    3  at every stop a Gaussian: covariance = inverse of minus the Hessian (by differences)
    4  keep the distinct ones with the best ELBO; weights in proportion to exp(ELBO)

The ELBO chooses, not the density: on the way into a spike (a funnel's neck) the density goes on
rising long after the Gaussian there has lost its mass. Compare Pathfinder (Zhang, Carpenter, Gelman
and Vehtari, 2022), of which this is a plain variant.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.fitting.journal import EvaluationJournal
from gmmvi_ext.fitting.lbfgs import minimise
from gmmvi_ext.math.random import stream
from gmmvi_ext.targets.base import Target

__all__ = ["CountedTarget", "Start", "StartMixture", "find_start", "start_from"]

WIDTHS = (1.0, 3.0, 10.0)  # of starting points where no prior tells
NUM_PRIOR_DRAWS = 128
SAVE_AT = (5, 13, 25)  # L-BFGS iterations whose points are candidates
LARGEST = 1e6  # coordinate at which a run has gone astray
NUM_ELBO_DRAWS = 24
MAX_FULL_HESSIAN = 100
NUM_HESSIAN_PROBES = 16
MAX_LOSS = 12.0  # nats below the best ELBO at which a candidate is no longer worth a component
MAX_STARTS, MIN_STARTS = 12, 3


class Start(NamedTuple):
    """Where the search begins: points [R, D], and their centre and width by dimension, [D]."""

    points: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


class StartMixture(NamedTuple):
    """The first mixture.

    Attributes:
      log_weights: [K].
      loc: [K, D].
      scale_tril: [K, D, D].
      num_evaluations: evaluations of the target spent.
    """

    log_weights: np.ndarray
    loc: np.ndarray
    scale_tril: np.ndarray
    num_evaluations: int


def start_from(target: Target, *, mean=None, scale=None, seed: int = 0) -> Start:
    """Starting points: of a given Gaussian, of the target's prior, or around zero.

    Args:
      target: its `start` is used where it has one.
      mean, scale: of a Gaussian the user asked for, numbers or [D]; None for neither.
      seed: integer.
    """
    dim = target.num_dimensions
    rng = np.random.default_rng([seed, 1])
    noise = rng.standard_normal((MAX_STARTS, dim))
    if mean is not None or scale is not None:
        mean = np.broadcast_to(np.asarray(0.0 if mean is None else mean, float), (dim,))
        scale = np.broadcast_to(np.asarray(1.0 if scale is None else scale, float), (dim,))
        return Start(mean + scale * noise, mean, scale)
    if target.can_start:
        draws = np.asarray(target.start(NUM_PRIOR_DRAWS, stream(seed, "start")), float)
        draws = draws[np.isfinite(draws).all(axis=1)]
        if len(draws) >= MAX_STARTS:
            low, middle, high = np.quantile(draws, [0.16, 0.5, 0.84], axis=0)
            scale = np.clip((high - low) / 2.0, 1e-3, 1e3)
            # Tails of the prior are no place to start from.
            points = np.clip(draws[:MAX_STARTS], middle - 3 * scale, middle + 3 * scale)
            return Start(points, middle, scale)
    widths = np.resize(WIDTHS, MAX_STARTS)[:, None]
    return Start(widths * noise, np.zeros(dim), np.full(dim, 3.0))


def find_start(
    target: Target,
    start: Start,
    *,
    max_components: int,
    budget: float,
    seed: int = 0,
    journal: EvaluationJournal | None = None,
) -> StartMixture:
    """The first mixture.

    Args:
      target: log density.
      start: where to search.
      max_components: most components.
      budget: evaluations that may be spent; they are never exceeded.
      seed: integer.
      journal: keeps the evaluations on disk; None for none.
    """
    counted = CountedTarget(target, journal)
    dim = target.num_dimensions
    hessian_cost = 2 * (dim if dim <= MAX_FULL_HESSIAN else NUM_HESSIAN_PROBES) + NUM_ELBO_DRAWS
    run_cost = 3 * SAVE_AT[-1] + len(SAVE_AT) * hessian_cost
    num_starts = int(min(MAX_STARTS, budget // run_cost))
    rng = np.random.default_rng([seed, 2])
    if not target.has_gradient or num_starts < MIN_STARTS:
        return _by_draws(counted, start, max_components, budget, rng)
    runs = minimise(counted.loss, start.points[:num_starts], SAVE_AT, budget / 2, LARGEST)
    affordable = int((budget - counted.count) // hessian_cost)
    candidates = _distinct(np.concatenate(runs[::-1]), start.scale)[:affordable]
    if not len(candidates):
        return _by_draws(counted, start, max_components, budget, rng)
    factors = _scales(counted, candidates, start.scale, rng)
    elbos = _elbos(counted, candidates, factors, rng)
    chosen = _choose(candidates, factors, elbos, max_components)
    if not chosen:
        return _by_draws(counted, start, max_components, budget, rng)
    log_weights = elbos[chosen] - np.logaddexp.reduce(elbos[chosen])
    return StartMixture(log_weights, candidates[chosen], factors[chosen], counted.count)


class CountedTarget:
    """The target in float64 NumPy, with a count of evaluations.

    Args:
      target: log density.
      journal: keeps the answers on disk; None for none.
    """

    def __init__(self, target: Target, journal: EvaluationJournal | None = None):
        self.target = target
        self.count = 0
        self._journal = journal
        self._seed = stream(0, "search")

    def values(self, x: np.ndarray) -> np.ndarray:
        """[N]; what is not finite is -inf."""
        (found,) = self._evaluated(x, lambda points: [self.target.values(points, self._seed)])
        return np.where(np.isfinite(found), found, -np.inf)

    def grads(self, x: np.ndarray) -> np.ndarray:
        """Gradients, [N, D]."""
        return self._evaluated(x, self._both)[1]

    def loss(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minus the log density [N] and its gradient [N, D]."""
        value, grad = self._evaluated(x, self._both)
        return -value, -grad

    def _both(self, points: tf.Tensor):
        return self.target.values_and_grads(points, self._seed)

    def _evaluated(self, x: np.ndarray, evaluate) -> list[np.ndarray]:
        self.count += len(x)

        def fresh(points):
            return evaluate(tf.constant(points, self.target.dtype))

        found = fresh(x) if self._journal is None else self._journal.answer(x, fresh)
        return [np.asarray(each, float) for each in found]


def _distinct(points: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Points further than a thousandth of the width from all kept before."""
    kept: list[np.ndarray] = []
    for point in points:
        far = all(np.max(np.abs(point - each) / scale) > 1e-3 for each in kept)
        if far:
            kept.append(point)
    return np.array(kept).reshape(-1, points.shape[1])


def _scales(counted: CountedTarget, points: np.ndarray, scale: np.ndarray, rng) -> np.ndarray:
    """Cholesky factors of inverse minus-Hessians, in units of `scale` never wider than it."""
    count, dim = points.shape
    if dim <= MAX_FULL_HESSIAN:
        directions = np.eye(dim)
    else:
        directions = rng.choice([-1.0, 1.0], (NUM_HESSIAN_PROBES, dim))
    step = 1e-3 * scale * directions  # [P, D]
    shifted = np.stack([points[:, None] + step, points[:, None] - step])  # [2, C, P, D]
    grads = counted.grads(shifted.reshape(-1, dim)).reshape(shifted.shape)
    # Rows: minus the Hessian in units of `scale`, times the direction.
    rows = -(grads[0] - grads[1]) / 2e-3 * scale
    rows = np.where(np.isfinite(rows), rows, 0.0)
    if dim <= MAX_FULL_HESSIAN:
        precision, basis = np.linalg.eigh((rows + rows.swapaxes(1, 2)) / 2)
    else:
        precision = np.mean(rows * directions, axis=1)
        basis = np.broadcast_to(np.eye(dim), (count, dim, dim))
    variance = 1.0 / np.clip(precision, 1.0, 1e12)
    covariance = np.einsum("cij,cj,ckj->cik", basis, variance, basis)
    covariance *= scale[:, None] * scale
    jitter = 1e-12 * np.eye(dim) * scale**2
    return np.linalg.cholesky(covariance + jitter)


def _elbos(counted: CountedTarget, points: np.ndarray, factors: np.ndarray, rng) -> np.ndarray:
    """ELBO of the Gaussian at every candidate, -inf where the target mostly is not finite."""
    count, dim = points.shape
    half = rng.standard_normal((NUM_ELBO_DRAWS // 2, dim))
    noise = np.concatenate([half, -half])
    x = points[:, None] + np.einsum("cij,sj->csi", factors, noise)
    values = counted.values(x.reshape(-1, dim)).reshape(count, -1)
    finite = np.isfinite(values)
    total = np.where(finite, values, 0.0).sum(axis=1)
    mean = total / np.maximum(finite.sum(axis=1), 1)
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    entropy = 0.5 * dim * (1.0 + np.log(2 * np.pi)) + log_det
    return np.where(finite.mean(axis=1) > 0.5, mean + entropy, -np.inf)


def _choose(points, factors, elbos, max_components: int) -> list[int]:
    """Best first; none whose mean lies in the bulk of one chosen before."""
    dim = points.shape[1]
    reach = dim + 4.0 * np.sqrt(2.0 * dim)
    chosen: list[int] = []
    for index in np.argsort(-elbos, kind="stable"):
        if not np.isfinite(elbos[index]) or len(chosen) >= max_components:
            break
        if chosen and elbos[index] < elbos[chosen[0]] - MAX_LOSS:
            break
        offsets = (points[index] - points[each] for each in chosen)
        whitened = (
            np.linalg.solve(factors[each], offset)
            for each, offset in zip(chosen, offsets, strict=True)
        )
        if all(z @ z > reach for z in whitened):
            chosen.append(int(index))
    return chosen


def _by_draws(counted: CountedTarget, start: Start, max_components, budget, rng) -> StartMixture:
    """Without gradients or budget: wide Gaussians at the best of some draws."""
    dim = len(start.mean)
    count = int(min(200 + 20 * dim, max(budget - counted.count, 0)))
    factor = np.diag(start.scale)
    if count < 1:
        return StartMixture(np.zeros(1), start.mean[None], factor[None], counted.count)
    draws = start.mean + start.scale * rng.standard_normal((count, dim))
    values = counted.values(draws)
    order = [i for i in np.argsort(-values, kind="stable") if np.isfinite(values[i])]
    chosen: list[int] = []
    for index in order:
        near = (np.abs(draws[index] - draws[i]) / start.scale for i in chosen)
        if all(np.max(each) > 1.0 for each in near):
            chosen.append(int(index))
        if len(chosen) >= min(5, max_components):
            break
    if not chosen:
        return StartMixture(np.zeros(1), start.mean[None], factor[None], counted.count)
    loc = draws[chosen]
    factors = np.broadcast_to(0.5 * factor, (len(chosen), dim, dim))
    return StartMixture(np.full(len(chosen), -np.log(len(chosen))), loc, factors, counted.count)
