"""Component weights of a fitted mixture, re-estimated by importance-weighted draws.

A fit minimizes KL(q || p), which hardly feels how much mass lies in a thin part of the target; the
moments do. With the components N_k as they are, the weights that minimize KL(p || q) satisfy
E_p[N_k(x) / q(x)] = 1, and

    w_k <- w_k E_p[N_k / q_w]

leads there (expectation maximization). The expectation is that of the fitted mixture q_0 plus what
the importance weights v_n of N draws of q_0 say of the difference, and M more draws of q_0, which
the target never sees, follow the change of q:

    E_p[N_k / q_w] ~ 1 + sum_n (v_n - 1/N) N_k(x_n) / q_w(x_n)
                       + mean_m N_k(x_m) (1 / q_w(x_m) - 1 / q_0(x_m))

The noise is in proportion to the misfit: a mixture that equals the target stays as it is, exactly.

References:
  Cappe, Douc, Guillin, Marin, Robert (2008), Adaptive importance sampling in general mixture
  classes, Statistics and Computing 18(4).
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.diagnostics.psis import MAX_KHAT_THRESHOLD
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.random import substream
from gmmvi_ext.posterior.importance.draws import CHUNK, sample_mixture, score_draws
from gmmvi_ext.posterior.report.verdict import FLAT_WEIGHT, GOOD_KHAT
from gmmvi_ext.targets.base import Target

__all__ = ["ComponentWeights", "reweight_components"]

NUM_STEPS = 50
MIN_FACTOR = 0.1  # of a weight in a step: sampled expectations may be negative
MIN_WEIGHT = 1e-6
NUM_FREE, MAX_FREE = 4, 60_000  # draws without the target: for each scored one, and most
MIN_GAIN = 1e-4  # nats: less is rounding, or not worth a change
MAX_KHAT_RISE = 0.1  # its standard error at 4500 draws
MAX_ELBO_FALL = 0.01  # nats, the tolerance at which a fit stops


class ComponentWeights(NamedTuple):
    """What the re-estimation came to.

    Attributes:
      mixture: with the new weights, or the given one.
      is_kept: whether the weights are new.
      khat, khat_after: tail index of the importance ratios before and after.
      ess: effective share of the draws before.
      gain, gain_se: how much KL(p || q) falls, by draws that the weights were not made from.
      elbo_change: ELBO after minus before.
      num_evaluations: of the target.
    """

    mixture: Mixture
    is_kept: bool
    khat: float
    khat_after: float
    ess: float
    gain: float
    gain_se: float
    elbo_change: float
    num_evaluations: int


class _Pool(NamedTuple):
    """Scored draws and free ones, both of q_0; densities are relative to the largest of a row.

    Attributes:
      scored, free: component densities, [N, K] and [M, K].
      weights: normalized importance weights, [N].
    """

    scored: np.ndarray
    free: np.ndarray
    weights: np.ndarray


def reweight_components(
    mixture: Mixture, target: Target, *, num_samples: int, seed=0
) -> ComponentWeights:
    """New weights for `mixture`, kept where draws they were not made from speak for them.

    Each half of the draws judges the weights made from the other. The result is kept if KL(p || q)
    falls by more than a standard error (and 0.0001 nats), k-hat is below 0.7 before and after and
    ends below 0.5 or rises by no more than 0.1, and the ELBO falls by no more than 0.01 nats.

    Args:
      mixture: of any family.
      target: log density.
      num_samples: draws, and target evaluations; none for a single component.
      seed: of the draws.
    """
    if int(mixture.num_components) == 1:
        return ComponentWeights(mixture, False, math.nan, math.nan, math.nan, 0.0, 0.0, 0.0, 0)
    salted = substream(seed, "component weights")
    draws = score_draws(mixture, target, num_samples, salted)
    ratios = draws.log_ratios
    if np.isfinite(ratios).sum() < 2:
        nothing = (math.inf, math.inf, 0.0, 0.0, 0.0, 0.0, num_samples)
        return ComponentWeights(mixture, False, *nothing)
    smoothed = diagnostics.pareto_smooth(ratios)
    ess = diagnostics.effective_sample_size(ratios) / num_samples
    free_seed = tf.random.experimental.stateless_fold_in(salted, 1)
    free, _ = sample_mixture(mixture, min(NUM_FREE * num_samples, MAX_FREE), free_seed)
    pool = _Pool(
        _densities(mixture, draws.x), _densities(mixture, free), np.exp(smoothed.log_weights)
    )
    before = np.exp(np.asarray(mixture.log_weights, np.float64))
    gain, gain_se = _gain(pool, before)
    after = _reestimated(pool, before)
    rise = np.log(pool.scored @ after) - np.log(pool.scored @ before)  # log q - log q_0, [N]
    khat, khat_after = _khat(ratios), _khat(ratios - rise)
    change = _elbo_change(ratios, rise)
    is_kept = (
        max(khat, khat_after) < MAX_KHAT_THRESHOLD
        and khat_after <= max(khat + MAX_KHAT_RISE, GOOD_KHAT)
        and gain > max(gain_se, MIN_GAIN)
        and change >= -MAX_ELBO_FALL
    )
    return ComponentWeights(
        _with_weights(mixture, after) if is_kept else mixture,
        bool(is_kept),
        khat,
        khat_after,
        ess,
        gain,
        gain_se,
        change,
        num_samples,
    )


def _densities(mixture: Mixture, x: np.ndarray) -> np.ndarray:
    """Component densities at x [N, D], relative to the largest of each row, [N, K]."""
    pieces = []
    for start in range(0, len(x), CHUNK):
        points = tf.constant(x[start : start + CHUNK], mixture.dtype)
        parts = mixtures.component_log_prob(mixture.components, points).numpy()
        pieces.append(parts.astype(np.float64))
    parts = np.concatenate(pieces)
    return np.exp(parts - parts.max(1, keepdims=True))


def _reestimated(pool: _Pool, before: np.ndarray) -> np.ndarray:
    """Weights [K] after some steps of expectation maximization from `before`."""
    excess = pool.weights - 1.0 / len(pool.weights)
    at_start = 1.0 / (pool.free @ before)
    weights = before
    for _ in range(NUM_STEPS):
        moved = 1.0 / (pool.free @ weights) - at_start
        factor = 1.0 + (excess / (pool.scored @ weights)) @ pool.scored
        factor += moved @ pool.free / len(moved)
        weights = weights * np.maximum(factor, MIN_FACTOR)
        weights /= weights.sum()
    return weights


def _gain(pool: _Pool, before: np.ndarray) -> tuple[float, float]:
    """Fall of KL(p || q) and its standard error; either half of the draws judges the other's."""
    half = len(pool.weights) // 2
    gains, variances = [], []
    for made_from, judge in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        share = pool.weights[made_from] / max(pool.weights[made_from].sum(), 1e-300)
        after = _reestimated(_Pool(pool.scored[made_from], pool.free, share), before)
        rise, free = (
            np.log(part @ after) - np.log(part @ before) for part in (pool.scored[judge], pool.free)
        )
        share = pool.weights[judge] / max(pool.weights[judge].sum(), 1e-300)
        excess = share - 1.0 / len(share)
        gains.append(excess @ rise + free.mean())
        noise = excess**2 @ (rise - share @ rise) ** 2
        variances.append(noise + free.var() / len(free))
    return float(np.mean(gains)), float(math.sqrt(np.sum(variances)) / 2.0)


def _khat(ratios: np.ndarray) -> float:
    """Tail index of log ratios; zero where the weights are flat and have no tail."""
    mean = np.logaddexp.reduce(ratios) - math.log(len(ratios))
    is_flat = ratios.max() - mean <= math.log(FLAT_WEIGHT)
    return 0.0 if is_flat else float(diagnostics.pareto_smooth(ratios).khat)


def _elbo_change(ratios: np.ndarray, rise: np.ndarray) -> float:
    """E_q[log p - log q] - E_q0[log p - log q_0] from draws of q_0 with the ratios p / q_0."""
    finite = np.isfinite(ratios)
    ratios, rise = ratios[finite], rise[finite]
    share = np.exp(rise)
    return float(np.mean((share - 1.0) * (ratios - ratios.mean()) - share * rise))


def _with_weights(mixture: Mixture, weights: np.ndarray) -> Mixture:
    index = np.flatnonzero(weights > MIN_WEIGHT)
    components = type(mixture.components)(*(tf.gather(f, index) for f in mixture.components))
    log_weights = tf.constant(np.log(weights[index] / weights[index].sum()), mixture.dtype)
    return Mixture(log_weights, components)
