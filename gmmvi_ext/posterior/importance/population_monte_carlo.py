"""Population Monte Carlo: a fitted mixture moves towards its importance-weighted draws (M-PMC).

    x_n ~ r            draws of the current mixture with a share of heavy tails (`defensive`)
    v_n ~ p~ / r       Pareto-smoothed weights, pooled over the rounds
    rho_nk             responsibilities of the components
    w_k   = sum_n v_n rho_nk
    m_k, S_k           weighted mean and covariance, shrunk towards the old component with the
                       weight of D + 2 draws

are steps of expectation maximization on sum_n v_n log q(x_n), that is on -KL(p || q), where the fit
itself minimizes KL(q || p). The one leaves no mass of the target uncovered, the other puts no mass
where there is none: the first is what importance sampling needs. A round is kept where fresh draws,
and then a second population of them, show a lower k-hat; else the mixture stays as it was.

References:
  Cappe, Douc, Guillin, Marin, Robert (2008), Adaptive importance sampling in general mixture
  classes, Statistics and Computing 18(4).
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.linalg import safe_cholesky
from gmmvi_ext.math.random import substream
from gmmvi_ext.posterior.importance.defensive import (
    DEFENSIVE_SHARE,
    DefensiveDraws,
    defensive_draws,
    log_proposal,
)
from gmmvi_ext.posterior.importance.draws import ScoredDraws
from gmmvi_ext.targets.base import Target

__all__ = ["KHAT_TO_RUN", "MAX_POPULATIONS", "PopulationMonteCarlo", "population_monte_carlo"]

KHAT_TO_RUN = 0.5  # k-hat above which it is tried: ratios without a finite variance
NUM_SAMPLES = 5000  # draws of a population
MAX_ROUNDS = 3
MAX_POPULATIONS = 1 + 2 * MAX_ROUNDS  # of `num_samples` evaluations each
NUM_STEPS = 10  # of expectation maximization in a round
MARGIN = 0.1  # by which k-hat has to fall: its standard error at 4500 draws
MIN_ESS_RATIO = 0.8  # of the ESS before
MIN_WEIGHT = 1e-6
WIDE_SHARE, WIDE_FACTOR = 0.1, 2.0  # weight and width of the copies added for the tails
MAX_ELEMENTS = 10_000_000  # of an array of one chunk of draws
TINY = 1e-300


class PopulationMonteCarlo(NamedTuple):
    """What population Monte Carlo came to.

    Attributes:
      mixture: the adapted mixture, or the given one.
      rounds: one dict for the given mixture and each round: `khat`, `ess` (share of the draws),
        `elbo`, `kept`.
      num_evaluations: of the target.
    """

    mixture: Mixture
    rounds: list[dict]
    num_evaluations: int

    @property
    def is_changed(self) -> bool:
        """Whether the mixture is another one."""
        return any(row["kept"] for row in self.rounds[1:])


def population_monte_carlo(
    mixture: Mixture,
    target: Target,
    *,
    num_samples: int = NUM_SAMPLES,
    max_rounds: int = MAX_ROUNDS,
    seed=0,
    always: bool = False,
) -> PopulationMonteCarlo:
    """Adapts `mixture` while fresh draws show that it helps.

    Args:
      mixture: with full or diagonal covariances.
      target: log density.
      num_samples: draws, and target evaluations, of a population: one of the given mixture, one of
        that of every round, and a second one of those that seem better.
      max_rounds: most rounds.
      seed: of the draws.
      always: try it whatever k-hat is.
    """
    _check_family(mixture)
    salted = substream(seed, "population Monte Carlo")
    pool: list[tuple[ScoredDraws, Mixture]] = []
    rows: list[dict] = []
    best = current = mixture
    for number in range(max_rounds + 1):
        populations: list[DefensiveDraws] = []

        def draw(number=number, populations=populations, current=current) -> dict:
            salt = 2 * number + len(populations)
            own_seed = tf.random.experimental.stateless_fold_in(salted, salt)
            populations.append(defensive_draws(current, target, num_samples, own_seed))
            pool.append((populations[-1].pooled, current))
            return _figures([each.plain for each in populations])

        row = draw()
        is_kept = number > 0 and _is_better(row, rows)
        if is_kept:  # a second population guards against chance
            row = draw()
            is_kept = _is_better(row, rows)
        rows.append(row | {"kept": is_kept})
        best = current if is_kept else best
        is_good = row["khat"] <= KHAT_TO_RUN and not always
        if is_good or number == max_rounds or not math.isfinite(row["elbo"]):
            break
        x, log_weights = _pooled(pool)
        current = _moved(best, x, log_weights)
    return PopulationMonteCarlo(best, rows, num_samples * len(pool))


def _check_family(mixture: Mixture) -> None:
    if not isinstance(mixture.components, (FullGaussians, DiagonalGaussians)):
        raise ValueError(
            f"a mixture of {type(mixture.components).__name__} cannot be adapted: only full and "
            "diagonal covariances have closed-form weighted moments."
        )


def _figures(populations: list[ScoredDraws]) -> dict:
    """k-hat, ESS as a share of the draws, and ELBO of all populations together."""
    ratios = np.concatenate([draws.log_ratios for draws in populations])
    finite = np.concatenate([draws.is_finite for draws in populations])
    if not np.isfinite(ratios).any():
        return {"khat": math.inf, "ess": 0.0, "elbo": -math.inf}
    return {
        "khat": float(diagnostics.pareto_smooth(ratios).khat),
        "ess": diagnostics.effective_sample_size(ratios) / len(ratios),
        "elbo": float(np.mean(ratios[finite])),
    }


def _is_better(row: dict, earlier: list[dict]) -> bool:
    """k-hat clearly below that of the mixture kept last, and about the same ESS."""
    kept = ([each for each in earlier if each["kept"]] or earlier[:1])[-1]
    return row["khat"] < kept["khat"] - MARGIN and row["ess"] >= MIN_ESS_RATIO * kept["ess"]


def _pooled(pool: list[tuple[ScoredDraws, Mixture]]) -> tuple[np.ndarray, np.ndarray]:
    """All draws [N, D] and their smoothed log weights [N] against the mixture of all proposals."""
    x = np.concatenate([draws.x for draws, _ in pool])
    values = np.concatenate([draws.target_log_prob for draws, _ in pool])
    densities = [log_proposal(proposal, x, DEFENSIVE_SHARE) for _, proposal in pool]
    log_r = np.logaddexp.reduce(densities, axis=0) - math.log(len(pool))
    joined = ScoredDraws(x, np.zeros(len(x), np.int32), log_r, values)
    return x, joined.smoothed().log_weights


def _moved(mixture: Mixture, x: np.ndarray, log_weights: np.ndarray) -> Mixture:
    """Some steps of expectation maximization from `mixture` with wide copies of its components."""
    start = _with_wide_copies(mixtures.cast(mixture, tf.float64))
    used = np.isfinite(log_weights)
    points, weights = tf.constant(x[used], tf.float64), np.exp(log_weights[used])
    current = start
    for _ in range(NUM_STEPS):
        current = _step(current, start, points, weights)
    kept = tf.where(current.log_weights > math.log(MIN_WEIGHT))[:, 0]
    fields = (tf.cast(tf.gather(field, kept), mixture.dtype) for field in current.components)
    shares = tf.nn.log_softmax(tf.gather(current.log_weights, kept))
    return Mixture(tf.cast(shares, mixture.dtype), type(mixture.components)(*fields))


def _with_wide_copies(mixture: Mixture) -> Mixture:
    """Every component once more, wider and with a tenth of the weight: what tails are made of."""
    components = mixture.components
    wide = components._replace(**{components._fields[1]: WIDE_FACTOR * components[1]})
    fields = (tf.concat(pair, axis=0) for pair in zip(components, wide, strict=True))
    log_weights = tf.concat(
        [
            mixture.log_weights + math.log1p(-WIDE_SHARE),
            mixture.log_weights + math.log(WIDE_SHARE),
        ],
        axis=0,
    )
    return Mixture(log_weights, type(components)(*fields))


class _Moments(NamedTuple):
    """Weighted moments of the draws by component: mass, ESS [K], mean, covariance."""

    mass: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


def _step(mixture: Mixture, prior: Mixture, x: tf.Tensor, weights: np.ndarray) -> Mixture:
    """One step; components that few draws speak for stay near those of `prior`."""
    found = _moments(mixture, x, weights)
    trust = (found.count / (found.count + mixture.num_dimensions + 2.0))[:, np.newaxis]  # [K, 1]
    old = prior.components.loc.numpy()
    shift = found.mean - old
    loc = tf.constant(old + trust * shift)
    components = prior.components
    if isinstance(components, DiagonalGaussians):
        between = shift**2
        before = components.scale_diag.numpy() ** 2
    else:
        between = shift[:, :, np.newaxis] * shift[:, np.newaxis, :]
        before = components.covariances().numpy()
        trust = trust[:, :, np.newaxis]
    after = trust * found.spread + (1 - trust) * before + trust * (1 - trust) * between
    log_weights = tf.nn.log_softmax(tf.constant(np.log(np.maximum(found.mass, TINY))))
    if isinstance(components, FullGaussians):
        factor, is_ok = safe_cholesky(tf.constant(after))
        factor = tf.where(is_ok[:, tf.newaxis, tf.newaxis], factor, components.scale_tril)
        return Mixture(log_weights, FullGaussians(loc, factor))
    scale = np.sqrt(np.maximum(after, TINY))
    return Mixture(log_weights, DiagonalGaussians(loc, tf.constant(scale)))


def _moments(mixture: Mixture, x: tf.Tensor, weights: np.ndarray) -> _Moments:
    """Moments of the draws, each component's weighted by its responsibilities, chunk by chunk."""
    count, dim = int(mixture.num_components), mixture.num_dimensions
    is_diagonal = isinstance(mixture.components, DiagonalGaussians)
    mass, squares = np.zeros(count), np.zeros(count)
    first = np.zeros([count, dim])
    second = np.zeros([count, dim if is_diagonal else dim * dim])
    chunk = max(100, MAX_ELEMENTS // (count * dim + dim * dim))
    for start in range(0, len(weights), chunk):
        part = x[start : start + chunk]
        share = mixtures.responsibilities(mixture, part).numpy()  # [N, K]
        share *= weights[start : start + chunk, np.newaxis]
        part = part.numpy()
        pairs = part**2 if is_diagonal else part[:, :, np.newaxis] * part[:, np.newaxis, :]
        mass += share.sum(0)
        squares += (share**2).sum(0)
        first += share.T @ part
        second += share.T @ pairs.reshape(len(part), -1)
    total = np.maximum(mass, TINY)[:, np.newaxis]
    mean, raw = first / total, (second / total).reshape([count, *pairs.shape[1:]])
    outer = mean**2 if is_diagonal else mean[:, :, np.newaxis] * mean[:, np.newaxis, :]
    effective = mass**2 / np.maximum(squares, TINY)
    return _Moments(mass, effective, mean, raw - outer)
