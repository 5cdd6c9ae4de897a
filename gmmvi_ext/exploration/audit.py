"""The audit: fresh searches that the mixture was not built from.

    1  starting points: draws of the mixture inflated two- to fifteenfold, draws of the prior (or
       all widths around zero), shells around the modes, and draws where the target is largest
       against the mixture; with gradients several times as many, of which only those are followed
       that no component explains (`probes`)
    2  searches from there (`following`); one that comes into the bulk of a component which has
       about the right density there is over
    3  where the others end: a Gaussian c (inverse Hessian, narrowed where the mode is bent), its
       mass, and how much of it the mixture lacks:

           lacks_c = P_c(log p - log q - log Z > 3) exp(E_c[log p - log c] - log Z)

The share of the searches that end in mass which the mixture lacks comes with its upper 95 % limit;
what is lacking in all is the sum over distinct ends, times the number of ends that their counts
suggest (`catalog.estimated_number`) over the number met.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.exploration.catalog import (
    Catalog,
    Mode,
    distinct,
    estimated_number,
    unseen_limit,
)
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.direct_search import minimize_without_gradient
from gmmvi_ext.exploration.following import followed
from gmmvi_ext.exploration.laplace import (
    MAX_SHORT,
    NUM_ELBO_DRAWS,
    fitted_cost,
    fitted_hessians,
    fitting_gaussians,
    hessian_cost,
    inverse_hessians,
)
from gmmvi_ext.exploration.probes import furthest_coordinate, leads_to, probe_points
from gmmvi_ext.exploration.starting_points import Start, more_points
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.blas import one_blas_thread
from gmmvi_ext.math.random import substream

__all__ = ["MIN_TELLING", "NUM_SEARCHES", "Audit", "audit", "why_nothing"]

NUM_SEARCHES = 60  # none of them in missing mass: an upper limit of 5 %
MIN_TELLING = 10  # searches: fewer are no audit
INFLATION = (2.0, 5.0, 15.0)
RESIDUAL_INFLATION = 2.5
MAX_RATIO = 3.0  # nats by which log p - log q - log Z may exceed zero where q covers p
MAX_BLUR = 100.0  # nats to which a value may be rounded, in multiples of what is usual
MIN_SHARE = 1e-6  # of the mass: what ends carry less is negligible in any number
NUM_DRAWS = 120  # of the mixture, for log Z and for how far the ratios spread
DRAWS_SHARE = 0.3  # of the evaluations, where there are few
MIN_EVALUATIONS = 30  # fewer are not worth a search
SEARCH_COST = 8  # evaluations that a search takes at least, its starting point included
MAX_TAIL_DRAWS = 1000
PROBES, PROBES_SHARE = 5, 0.5  # for each search, and of the evaluations: where there are gradients
MAX_FULL_SCALE = 100  # dimensions up to which searches are scaled by whole covariances
MAX_ELEMENTS = 20_000_000  # of all covariances at ends
MIN_WEIGHT = 1e-5
MAX_STRAYS = 8
MAX_EXCESS = 100.0  # nats of an ELBO above what curvature promises: heavy tails have some


class Audit(NamedTuple):
    """What fresh searches found.

    Attributes:
      num_searches: that came to an end.
      num_cut_short: that did not, within their iterations and evaluations.
      num_missed: those that ended in mass which the mixture lacks.
      missed_mass: share of the target's mass lacking, as far as the searches show.
      tail_mass: the same by draws inflated two- to fifteenfold: what lies around the mixture.
      missed_limit: upper 95 % limit of the share of searches that end in lacking mass.
      modes: distinct ends in lacking mass; `log_mass` is that of what is lacking.
      strays: ends beside the mixture without mass of account, [n, D]: where a density does not fall
        off at all they lie along that direction.
      log_evidence: log Z of the mixture that was audited.
      num_evaluations: of the target.
    """

    num_searches: int
    num_cut_short: int
    num_missed: int
    missed_mass: float
    tail_mass: float
    missed_limit: float
    modes: list[Mode]
    strays: np.ndarray
    log_evidence: float
    num_evaluations: int

    def as_dict(self) -> dict:
        """Plain data, without the modes' covariances."""
        about = self._asdict()
        about["modes"] = [
            {"location": mode.loc.tolist(), "log_mass": mode.log_mass, "num_found": mode.num_found}
            for mode in self.modes
        ]
        about["strays"] = self.strays.tolist()
        return about


@one_blas_thread()
def audit(
    counted: CountedTarget,
    mixture: Mixture,
    start: Start,
    *,
    num_searches: int = NUM_SEARCHES,
    max_evaluations: float = math.inf,
    seed=0,
) -> Audit:
    """Searches for mass that `mixture` lacks.

    Args:
      counted: the target; without a gradient direct searches take the place of L-BFGS.
      mixture: of any family.
      start: where the target's prior is, or that there is none.
      num_searches: number of searches.
      max_evaluations: most evaluations of the target; few allow fewer searches.
      seed: of the starting points.
    """
    before = counted.count
    if max_evaluations < MIN_EVALUATIONS:
        nothing = np.zeros((0, mixture.num_dimensions))
        return Audit(0, 0, 0, 0.0, 0.0, 1.0, [], nothing, math.nan, 0)
    salted = substream(seed, "audit")
    rng = np.random.default_rng(np.asarray(salted).astype(np.uint32))
    num_draws = int(min(NUM_DRAWS, DRAWS_SHARE * max_evaluations))
    covered = _Covered(mixture, max(num_draws, 2), salted)
    num_searches = int(min(num_searches, (max_evaluations - num_draws) // SEARCH_COST))
    covered.estimate_evidence(counted)
    tail_mass = _tail_mass(counted, covered, min(num_searches // 3, MAX_TAIL_DRAWS), rng)
    points = _residual(counted, covered, num_searches // 5, rng)
    most, num_explained = num_searches - len(points), 0
    if counted.target.has_gradient:
        left = max_evaluations - (counted.count - before)
        count = int(min(PROBES * num_searches, PROBES_SHARE * left))
        probed, num_explained = _probed(counted, covered, start, count, rng)
        left = max_evaluations - (counted.count - before)
        probed = probed[: int(max(min(most, 0.7 * left // SEARCH_COST - len(points)), 1))]
    else:
        probed = _beside(covered, start, most, rng)
    points = np.concatenate([points, probed])
    left = max_evaluations - (counted.count - before)
    runs, shapes = _searches(counted, covered, points, 0.7 * left, rng)
    tells = np.isfinite(runs.value) & covered.is_resolved(runs.value, counted.target.dtype)
    # The last positions have not been looked at if they came with the last iteration.
    arrived = runs.is_done | (tells & covered.is_reached(runs.x, runs.value))
    ends = np.flatnonzero(tells & ~arrived)
    ends = ends[~counted.has_risen_beyond(runs.x[ends])]
    ends = ends[np.argsort(runs.value[ends], kind="stable")]
    modes: list[Mode] = []
    found = np.zeros(0, int)
    if len(ends):
        left = max_evaluations - (counted.count - before)
        cost = (hessian_cost if shapes is None else fitted_cost)(covered.dim) + NUM_ELBO_DRAWS
        most = int(min(num_searches, max(left, 0) // cost, MAX_ELEMENTS // covered.dim**2))
        budget = max(left - most * cost, 0.0)
        modes, found = _lacking(counted, covered, runs, shapes, ends, start, most, budget, rng)
    counts = np.bincount(found[found >= 0], minlength=len(modes))
    modes = [mode._replace(num_found=int(count)) for mode, count in zip(modes, counts, strict=True)]
    # Searches that were cut short say something only where they have come upon lacking mass.
    is_over = arrived.copy()
    is_over[ends] |= runs.has_rested[ends] | (found >= 0) if len(ends) else False
    num_searches, num_missed = num_explained + int(is_over.sum()), int((found >= 0).sum())
    return Audit(
        num_searches,
        len(points) - int(is_over.sum()),
        num_missed,
        _missed_mass(modes, covered.log_z),
        tail_mass,
        unseen_limit(num_missed, num_searches),
        modes,
        _strays(runs.x[ends[runs.has_rested[ends] & (found < 0)]] if len(ends) else points[:0]),
        covered.log_z,
        counted.count - before,
    )


def why_nothing(found: Mapping) -> str:
    """Why an audit, as plain data, is none: no search came to an end. Empty where some did."""
    if found["num_searches"]:
        return ""
    num_cut = found.get("num_cut_short") or 0
    if num_cut:
        return f"none of {num_cut} searches for modes came to an end"
    return f"no search for modes was made: fewer than {MIN_EVALUATIONS} evaluations were left"


def _searches(counted, covered, points, budget: float, rng):
    """The runs, and the shapes that direct searches have learned (None with gradients)."""
    scale = covered.scales(points)
    if counted.target.has_gradient:
        is_finite = np.isfinite(covered.highest)
        runs = followed(
            counted,
            points,
            scale,
            covered.widths,
            budget,
            rng,
            furthest=covered.furthest,
            is_done=covered.is_reached,
            lowest=-covered.highest - 0.5 * covered.dim if is_finite else None,
        )
        return runs, None
    if scale.ndim == 2:
        scale = scale[:, :, np.newaxis] * np.eye(scale.shape[1])
    return minimize_without_gradient(
        lambda x: -counted.values(x),
        points,
        budget,
        rng,
        covered.furthest,
        scale=scale,
        epsilon=counted.epsilon,
        is_done=covered.is_reached,
    )


class _Covered:
    """The mixture as what searches are compared with."""

    def __init__(self, mixture: Mixture, num_draws: int, seed):
        alive = tf.where(mixture.log_weights > math.log(MIN_WEIGHT))[:, 0]
        mixture = mixtures.cast(mixture, tf.float64)
        fields = (tf.gather(field, alive) for field in mixture.components)
        self.components = type(mixture.components)(*fields)
        log_weights = tf.nn.log_softmax(tf.gather(mixture.log_weights, alive))
        self.mixture = Mixture(log_weights, self.components)
        self.dim = mixture.num_dimensions
        self.loc = self.components.loc.numpy()
        self.log_z = 0.0
        self.highest = -math.inf  # log density met
        self.most = MAX_RATIO
        draws = mixtures.sample(self.mixture, num_draws, seed)
        self.draws, self.index = (each.numpy() for each in draws)
        self.furthest = furthest_coordinate(self.loc, self.factors)
        # Log density at the means, [K]: the Mahalanobis distance is what falls from there.
        self._top = -(self.components.entropy().numpy() - 0.5 * self.dim)

    def log_q(self, x: np.ndarray) -> np.ndarray:
        """[n]."""
        return mixtures.log_prob(self.mixture, tf.constant(x)).numpy()

    def is_resolved(self, values: np.ndarray, dtype) -> np.ndarray:
        """Whether the float format of the target tells log densities of this size apart, [n].

        Far out a sum of large terms of both signs may come to 1e15 nats, and is their rounding.
        """
        rounding = float(np.finfo(tf.as_dtype(dtype).as_numpy_dtype).eps)
        usual = max(rounding * abs(self.highest), 1.0)
        return rounding * np.abs(values) <= MAX_BLUR * usual

    def log_q_inflated(self, x: np.ndarray, factor: float) -> np.ndarray:
        """Log density with all components inflated, [n]."""
        parts = self._top - self.dim * math.log(factor)
        parts = parts - 0.5 * self.squared_distances(x) / factor**2
        return np.logaddexp.reduce(self.mixture.log_weights.numpy() + parts, axis=1)

    def squared_distances(self, x: np.ndarray) -> np.ndarray:
        """Mahalanobis distances of points [n, D] to the components, [n, K]."""
        parts = mixtures.component_log_prob(self.components, tf.constant(x)).numpy()
        return 2.0 * (self._top - parts)

    def estimate_evidence(self, counted: CountedTarget) -> None:
        """log Z by importance sampling, and how far the ratios spread where the mixture is."""
        values = counted.values(self.draws)
        self.highest = float(values.max())
        ratios = values - self.log_q(self.draws)
        self.log_z = float(np.logaddexp.reduce(ratios) - math.log(len(ratios)))
        if np.isfinite(self.log_z):
            self.most = max(MAX_RATIO, float(np.quantile(ratios, 0.99)) - self.log_z)

    def is_reached(self, x: np.ndarray, loss: np.ndarray) -> np.ndarray:
        """Which points lie in the bulk of a component, where the mixture has enough density."""
        reached = np.zeros(len(x), bool)
        rows = np.flatnonzero(np.isfinite(loss) & (np.max(np.abs(x), axis=1) <= self.furthest))
        if len(rows):
            near = self.squared_distances(x[rows]).min(axis=1)
            is_near = near <= self.dim + 2.0 * math.sqrt(2.0 * self.dim)
            ratio = -loss[rows] - self.log_z - self.log_q(x[rows])
            reached[rows] = is_near & (ratio <= self.most)
        return reached

    @property
    def factors(self) -> np.ndarray:
        """Scales of the components: [K, D, D], or diagonals [K, D]."""
        if isinstance(self.components, FullGaussians) and self.dim <= MAX_FULL_SCALE:
            return self.components.scale_tril.numpy()
        return self.components.stddevs().numpy()

    @property
    def widths(self) -> np.ndarray:
        """Standard deviations of a typical component, [D]."""
        return np.exp(np.log(self.components.stddevs().numpy()).mean(axis=0))

    def scales(self, x: np.ndarray) -> np.ndarray:
        """The scale of the component nearest to each point: [n, D, D], or diagonals [n, D]."""
        return self.factors[np.argmin(self.squared_distances(x), axis=1)]

    def inflated(self, factor: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Draws with their distance to their component's mean multiplied."""
        center = self.loc[self.index[which]]
        return center + factor * (self.draws[which] - center)


def _residual(counted, covered: _Covered, count: int, rng) -> np.ndarray:
    """Points near the mixture where the target is largest against it, [count, D]."""
    pool = rng.integers(len(covered.draws), size=3 * count)
    candidates = covered.inflated(np.full((len(pool), 1), RESIDUAL_INFLATION), pool)
    missing = counted.values(candidates) - covered.log_q(candidates)
    return candidates[np.argsort(-missing, kind="stable")[:count]]


def _tail_mass(counted, covered: _Covered, count: int, rng) -> float:
    """Share of the mass that the mixture lacks around itself, by importance sampling.

    The proposal is the mixture with all components inflated, in equal parts two-, five- and
    fifteenfold: where a wide component is missing under a narrow one, no search ends in it.
    """
    which = rng.integers(len(covered.draws), size=count)
    factor = np.resize(INFLATION, count)
    x = covered.inflated(factor[:, np.newaxis], which)
    x = x[np.max(np.abs(x), axis=1) <= covered.furthest]
    log_p, log_q = counted.values(x), covered.log_q(x)
    parts = [covered.log_q_inflated(x, each) for each in INFLATION]
    log_g = np.logaddexp.reduce(parts) - math.log(len(INFLATION))
    if not np.isfinite(covered.log_z):
        return 0.0
    lacks = log_p - covered.log_z - log_q > covered.most
    if not lacks.any():
        return 0.0
    total = np.logaddexp.reduce((log_p - log_g)[lacks]) - math.log(len(x)) - covered.log_z
    return float(1.0 / (1.0 + math.exp(-min(max(total, -700.0), 700.0))))


def _beside(covered: _Covered, start: Start, count: int, rng) -> np.ndarray:
    """Points around the mixture, its draws inflated, and where searches start, [count, D]."""
    num_inflated = count // 2
    which = rng.integers(len(covered.draws), size=num_inflated)
    factor = rng.choice(INFLATION, num_inflated)[:, np.newaxis]
    whole = covered.draws.mean(axis=0)
    around_all = whole + factor * (covered.draws[which] - whole)
    is_own = (np.arange(num_inflated) % 2 == 0)[:, np.newaxis]
    inflated = np.where(is_own, covered.inflated(factor, which), around_all)
    wide = more_points(start, covered.loc, count - num_inflated, rng)
    return np.concatenate([inflated, wide])


def _probed(counted, covered: _Covered, start: Start, count: int, rng):
    """Points of probes from which to search, and the number of those that are explained."""
    far = probe_points(start, covered.loc, covered.factors, 2 * count // 3, rng)
    x = np.concatenate([far, _beside(covered, start, count - len(far), rng)])
    x = rng.permutation(x[np.max(np.abs(x), axis=1) <= covered.furthest])
    loss, slope = counted.loss(x)
    tells = np.isfinite(loss)
    x, index = x[tells], leads_to(x[tells], -slope[tells], covered.loc, covered.factors)
    return x[index < 0], int((index >= 0).sum())


def _lacking(counted, covered: _Covered, runs, shapes, ends, start, most: int, budget: float, rng):
    """Distinct modes in lacking mass, and for every one of `ends` which of them, or -1."""
    x = runs.x[ends]
    widths = np.maximum(start.scale, covered.draws.std(axis=0))
    first = distinct(x, widths)[:most]
    rested = runs.has_rested[ends]
    modes: list[Mode] = []
    for are_modes in (True, False):
        part = first[rested[first] == are_modes]
        if not len(part):
            continue
        if shapes is None:
            factors = inverse_hessians(counted, x[part], widths, rng, are_modes=are_modes)
        else:
            factors = fitted_hessians(counted, x[part], shapes[ends[part]], rng)
        heights = -runs.value[ends[part]]
        share = 0.5 * budget  # for each of the two kinds
        fitted = fitting_gaussians(counted, x[part], heights, factors, rng, share)
        factors, draws, short = fitted
        log_q = covered.log_q(draws.x.reshape(-1, covered.dim)).reshape(draws.log_p.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            lacks = (draws.log_p - covered.log_z - log_q > covered.most).mean(axis=1)
            log_mass = draws.elbos + np.log(lacks)
        if are_modes:  # halfway between what is sure and what curvature promises of a bent mode
            log_mass += 0.5 * np.maximum(short - MAX_SHORT, 0.0)
            # Far more than it promises is rounding, far out, that is taken for height.
            log_mass[short < -MAX_EXCESS] = -np.inf
        log_mass[~covered.is_resolved(log_mass, counted.target.dtype)] = -np.inf
        for row, factor, mass in zip(part, factors, log_mass, strict=True):
            is_known = Catalog(modes).matched(x[row : row + 1])[0] >= 0
            if mass > covered.log_z + math.log(MIN_SHARE) and not is_known:
                modes.append(Mode(x[row], factor, float(mass), -float(runs.value[ends[row]]), 0))
    modes.sort(key=lambda mode: -mode.log_mass)
    return modes, Catalog(modes).matched(x)


def _strays(x: np.ndarray) -> np.ndarray:
    """A few of the ends [n, D], those furthest out."""
    order = np.argsort(-np.linalg.norm(x, axis=1), kind="stable")
    return x[order[:MAX_STRAYS]]


def _missed_mass(modes: list[Mode], log_evidence: float) -> float:
    if not modes:
        return 0.0
    total = np.logaddexp.reduce([mode.log_mass for mode in modes]) - log_evidence
    total += math.log(max(estimated_number([mode.num_found for mode in modes]) / len(modes), 1.0))
    return float(1.0 / (1.0 + math.exp(-min(max(total, -700.0), 700.0))))
