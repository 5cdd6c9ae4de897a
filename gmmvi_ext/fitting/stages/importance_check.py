"""Stage: is the first mixture already good enough, as it is or after it has been moved a little?

A posterior that is nearly Gaussian around each of its modes needs no training: the Gaussians at the
modes, moved by importance-weighted draws, are as good as what training would end with. So the first
mixture is judged by draws of it, moved by them, and judged again by fresh ones, for some rounds:

    v_n = p~(x_n) / q(x_n), Pareto-smoothed, mean one;   rho_nk  responsibilities
    w_k' = w_k + <(v - 1) rho_k>
    m_k' = m_k + <(v - 1) rho_k (x - m_k)> / w_k'
    S_k' = (w_k S_k + <(v - 1) rho_k (x - m_k)(x - m_k)^T>) / w_k' - (m_k' - m_k)(m_k' - m_k)^T

the moments that a step of expectation maximization on KL(p || q) gives, with the known moments of
the draws as control variates: where q is exact the noise is zero. The limits are stricter than
those of the verdict. Compare population Monte Carlo (Cappe, Douc, Guillin, Marin and Robert, 2008).
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.config.config import Config
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.search import FirstMixture
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.linalg import safe_cholesky
from gmmvi_ext.math.random import substream

__all__ = [
    "Checked",
    "first_as_mixture",
    "importance_check",
    "is_good_enough",
    "num_check_samples",
    "share_of_draws",
]

MAX_ROUNDS = 5
MIN_ESS, GOOD_ESS = 0.05, 0.85  # shares of the draws: for another round, and for a mixture to pass
GOOD_KHAT, LIMIT_KHAT = 0.5, 0.7  # of few draws, whose k-hat is off by 0.2, and of more
FLAT_ESS = 0.95  # share at which what the tail of the weights can hide is negligible,
FLAT_KHAT = 1.0  # while they have a mean
FLAT_WEIGHT = 1.25  # largest weight at which weights have no tail
GOOD_GAP = 0.05  # nats between log Z and ELBO
GOOD_SHIFT = 0.05  # of means by reweighting, in standard deviations; of log standard deviations
DONE_ESS, DONE_KHAT, DONE_GAP, DONE_SHIFT = 0.88, 0.6, 0.07, 0.015  # at which training is over
FAR_ESS, FAR_GAP = 0.6, 0.2  # of a quarter of the draws: the others can be spared
MAX_ERROR, MAX_MORE = 0.01, 4.0  # of moments in sd, and multiples of the draws that may join for it
MIN_GAIN = 0.05  # of the ESS from round to round: else it does not get there


class Checked(NamedTuple):
    """What the check came to.

    Attributes:
      mixture: the last one, moved by the draws that it was judged by.
      is_good: whether it passed.
      rounds: figures of every round: `ess` (share of the draws), `khat`, `gap`, `shift`,
        `clear_shift` (beyond two standard errors), `error` (of the shifts), `elbo`.
    """

    mixture: FirstMixture
    is_good: bool
    rounds: list[dict]


def num_check_samples(config: Config, num_dimensions: int) -> int:
    """Draws of a round: as configured, or 250 and 15 for each dimension."""
    return config.importance_check.num_samples or 250 + 15 * num_dimensions


def importance_check(
    counted: CountedTarget,
    first: FirstMixture,
    *,
    num_samples: int,
    budget: float = math.inf,
    seed=0,
) -> Checked:
    """Judges and moves a mixture.

    Args:
      counted: the target.
      first: the mixture.
      num_samples: draws of a round, each one evaluation.
      budget: most evaluations.
      seed: of the draws.
    """
    salted = substream(seed, "importance check")
    mixture = first_as_mixture(first)
    rounds: list[dict] = []
    is_good = False
    begin = counted.count
    for number in range(MAX_ROUNDS):
        left = budget - (counted.count - begin)
        if left < num_samples:
            break
        fresh = tf.random.fold_in(salted, number)
        draws = _Draws(counted, mixture, num_samples, fresh)
        figures = draws.figures()
        # The first mixture comes from a Hessian: its moments are moved before they are believed.
        is_good = number > 0 and _is_good(figures)
        if is_good:
            # How exact its moments will be: to a hundredth of a standard deviation.
            more = int(num_samples * min((figures["error"] / MAX_ERROR) ** 2 - 1.0, MAX_MORE))
            if 0 < more <= left - num_samples:
                draws.add(counted, more, tf.random.fold_in(fresh, 1))
                figures = draws.figures()
                is_good = _is_good(figures, khat=LIMIT_KHAT)
        rounds.append(figures)
        # What is short of the limit has to come nearer to it from round to round.
        before = rounds[-2]["ess"] if number > 0 else 0.0
        needed = MIN_ESS if number == 0 else min(before + MIN_GAIN, GOOD_ESS)
        is_hopeless = figures["ess"] < needed
        if is_hopeless and not is_good:
            break
        mixture = draws.moved()
        if is_good:
            break
    return Checked(_as_first(mixture), is_good, rounds)


def share_of_draws(
    counted: CountedTarget, mixture: Mixture, *, num_samples: int, seed: tf.Tensor
) -> float:
    """ESS of so many fresh draws of a mixture in training, as a share of them."""
    return _Draws(counted, mixture, num_samples, seed).figures()["ess"]


def is_good_enough(
    counted: CountedTarget, mixture: Mixture, *, num_samples: int, seed: tf.Tensor
) -> bool:
    """Whether a mixture in training passes: it is not moved any more.

    The limits are those of the verdict with a margin: the moments of the mixture are those of the
    target within a small part of a standard deviation.
    """
    some = _Draws(counted, mixture, num_samples // 4, tf.random.fold_in(seed, 1)).figures()
    if some["ess"] < FAR_ESS or some["gap"] > FAR_GAP:
        return False
    figures = _Draws(counted, mixture, num_samples, seed).figures()
    return (
        figures["ess"] >= DONE_ESS
        and figures["khat"] <= DONE_KHAT
        and figures["gap"] <= DONE_GAP
        and figures["clear_shift"] <= DONE_SHIFT
    )


def _is_good(figures: dict, khat: float = GOOD_KHAT) -> bool:
    return (
        figures["ess"] >= GOOD_ESS
        and figures["khat"] <= (FLAT_KHAT if figures["ess"] >= FLAT_ESS else khat)
        and figures["gap"] <= GOOD_GAP
        and figures["shift"] <= GOOD_SHIFT
    )


class _Draws:
    """Draws of a mixture and what they weigh."""

    def __init__(self, counted: CountedTarget, mixture: Mixture, count: int, seed):
        self._mixture = mixtures.cast(mixture, tf.float64)
        self._x = np.empty((0, self._mixture.components.num_dimensions))
        self._ratios = np.empty(0)
        self.add(counted, count, seed)

    def add(self, counted: CountedTarget, count: int, seed) -> None:
        """Further draws."""
        x, _ = mixtures.sample(self._mixture, count, seed)
        ratios = counted.values(x.numpy()) - mixtures.log_prob(self._mixture, x).numpy()
        self._x = np.concatenate([self._x, x.numpy()])
        self._ratios = np.concatenate([self._ratios, ratios])
        if not np.isfinite(self._ratios).any():
            self._khat, self._excess = math.inf, np.zeros(len(self._x))
            return
        smoothed = diagnostics.pareto_smooth(self._ratios)
        self._khat = float(smoothed.khat)
        self._excess = len(self._x) * np.exp(smoothed.log_weights) - 1.0

    def figures(self) -> dict:
        """ESS as a share, k-hat (0 where weights are flat), log Z - ELBO, largest shifts."""
        finite = np.isfinite(self._ratios)
        elbo = {"elbo": float(self._ratios[finite].mean()) if finite.any() else -math.inf}
        if finite.mean() < 0.99:
            names = ("khat", "gap", "shift", "clear_shift", "error")
            return {"ess": 0.0} | dict.fromkeys(names, math.inf) | elbo
        log_z = np.logaddexp.reduce(self._ratios) - math.log(len(self._ratios))
        is_flat = self._ratios.max() - log_z <= math.log(FLAT_WEIGHT)
        centered = self._x - self._x.mean(axis=0)
        spread = self._x.std(axis=0)
        centered /= spread
        moments = np.concatenate([centered, 0.5 * (centered**2 - 1.0)], axis=1)  # [N, 2 D]
        shift = self._excess @ moments / len(moments)
        error = np.sqrt(self._excess**2 @ moments**2) / len(moments)
        shift[len(spread) :] -= 0.5 * shift[: len(spread)] ** 2
        shift = np.abs(shift)
        return {
            "ess": diagnostics.effective_sample_size(self._ratios) / len(self._ratios),
            "khat": 0.0 if is_flat else self._khat,
            "gap": float(log_z - elbo["elbo"]),
            "shift": float(shift.max()),
            "clear_shift": float((shift - 2.0 * error).max()),
            "error": float(error.max()),
        } | elbo

    def moved(self) -> Mixture:
        """The mixture with the moments that the weighted draws give it."""
        x, excess = self._x, self._excess
        dim = x.shape[1]
        shares = np.exp(self._mixture.log_weights.numpy())
        loc = self._mixture.components.loc.numpy()
        components = self._mixture.components
        if not isinstance(components, FullGaussians):
            raise TypeError(f"{type(components).__name__} are not moved, FullGaussians are.")
        factor = components.scale_tril.numpy()
        rho = mixtures.responsibilities(self._mixture, tf.constant(x)).numpy()
        weighted = rho * excess[:, np.newaxis] / len(x)  # [N, K]
        # Components with few draws stay near what they were.
        count = rho.sum(axis=0)
        weighted *= count / (count + dim + 2.0)
        new_shares = np.maximum(shares + weighted.sum(axis=0), 0.1 * shares)
        first = weighted.T @ x - weighted.sum(axis=0)[:, np.newaxis] * loc  # around the means
        step = first / new_shares[:, np.newaxis]
        second = np.einsum("nk,ni->kin", weighted, x) @ x
        second -= loc[:, :, np.newaxis] * first[:, np.newaxis, :]
        second -= (weighted.T @ x)[:, :, np.newaxis] * loc[:, np.newaxis, :]
        before = shares[:, np.newaxis, np.newaxis] * (factor @ factor.swapaxes(1, 2))
        after = (before + second) / new_shares[:, np.newaxis, np.newaxis]
        after -= step[:, :, np.newaxis] * step[:, np.newaxis, :]
        new_factor, is_ok = safe_cholesky(tf.constant(after))
        # Too few draws for a covariance: the component stays as it was.
        is_ok = is_ok.numpy()
        factor = np.where(is_ok[:, np.newaxis, np.newaxis], new_factor, factor)
        loc = loc + np.where(is_ok[:, np.newaxis], step, 0.0)
        log_weights = np.log(new_shares / new_shares.sum())
        return first_as_mixture(FirstMixture(log_weights, loc, factor))


def first_as_mixture(first: FirstMixture) -> Mixture:
    """The same mixture for the functions of `gaussians`, in float64."""
    loc, factor = (tf.constant(each, tf.float64) for each in first[1:])
    return Mixture(tf.constant(first.log_weights, tf.float64), FullGaussians(loc, factor))


def _as_first(mixture: Mixture) -> FirstMixture:
    loc, factor = (field.numpy() for field in mixture.components)
    return FirstMixture(mixture.log_weights.numpy(), loc, factor)
