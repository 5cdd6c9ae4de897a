"""Searches for modes, until few are left to find; and the first mixture made of them.

    1  L-BFGS from all starting points at once, or CMA-ES where there is no gradient; those that
       come to rest end in a mode
    2  at every mode a Gaussian (inverse Hessian, narrowed where the mode is bent) with its mass, in
       the catalog
    3  further searches while the chance to find a new mode is worth them (`catalog`)
    4  on request, Gaussians along the way of the first searches: where a density rises into a spike
       (the neck of a funnel), the mass lies where they have come by

The ELBO says how much mass there is, not the height of the density: on the way into a spike the
density goes on rising long after the Gaussian there has lost its mass. Compare Pathfinder (Zhang,
Carpenter, Gelman and Vehtari, 2022).
"""

import math
from typing import NamedTuple

import numpy as np

from gmmvi_ext.exploration.catalog import Catalog, Mode, distinct
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.direct_search import minimize_without_gradient
from gmmvi_ext.exploration.following import followed, in_own_shapes
from gmmvi_ext.exploration.gaussian_scores import matched_gaussian
from gmmvi_ext.exploration.laplace import (
    NUM_ELBO_DRAWS,
    fitted_cost,
    fitted_hessians,
    fitting_gaussians,
    hessian_cost,
    inverse_hessians,
    laplace_mass,
    scored,
)
from gmmvi_ext.exploration.lbfgs import Runs, minimize
from gmmvi_ext.exploration.probes import (
    MIN_CHANCE,
    chance_to_meet,
    chance_wanted,
    furthest_coordinate,
    leads_to,
    probe_points,
)
from gmmvi_ext.exploration.singular import singular_power
from gmmvi_ext.exploration.starting_points import Start, more_points

__all__ = ["FirstMixture", "ModeSearch"]

SAVE_AT = (5, 13, 25)  # L-BFGS iterations whose points are candidates
MAX_ITERATIONS, PER_DIMENSION = 60, 2.0  # in any case, and for each dimension where that is more
LOST_SHARE = 0.2  # of the evaluations left, for the first searches that have come to no end
SECOND_WIND = 30  # iterations of runs that go on in the scale of a mode
FEW_OWN = 1.5  # Hessians for each run that is followed, on average, at most
DIRECT_COST = 100  # evaluations of a direct search for each dimension
MAX_LOSS = 12.0  # nats below the best ELBO at which a candidate is no longer worth a component
MIN_STARTS = 3
SHAPES_SHARE = 0.1  # of the evaluations left, for Gaussians at bent modes
FEW = 5  # components of a mixture that draws alone have led to
NEW_MODE_CHANCE = {"auto": 0.005, "thorough": 0.001}  # at which searches end
MAX_MODES = {"auto": 150, "thorough": 500}  # an estimate beyond it is no case for a mixture
MIN_PER_MODE = 12  # searches for every mode found: few searches say little about rare modes
ROUNDING = 16.0  # roundings of the log density by which a mode may be missed
MIN_SEVERAL = 100  # searches where there are several modes: some own few starting points
MIN_SEARCHES = {"auto": 1, "thorough": 300}  # in any case
MAX_OFF = 0.1  # squared distance to the mode, in units of the inverse Hessian
MAX_ROUND = 100  # searches in one round
WANDERING, MAX_WANDERING = 18, 180  # searches between modes of unequal width, a round and in all
MAX_PROBES = 4000  # in one round, as many as in all before
MIN_TOLD = 0.25  # share of them that has to lead somewhere
MAX_FOLLOWED = 20  # probes that are followed at a time
MIN_FOLLOWED_COST, MAX_FOLLOWED_COST = 5, 50  # evaluations for each, on average
FEW_DIMENSIONS, LEAST_ALONE = 5, (500, 200)  # probes with one mode known: up to so many, and beyond
MAX_ALONE, MAX_ALONE_COST = 8, 15  # of them followed, and evaluations for each, on average
FEW_PROBES = {1: 100, 2: 500, None: 1500}  # with several of equal width, by dimension
LEAST_PROBES = {1: 200, 2: 500, 3: 3000, 4: 3000, 5: 3000, None: 6000}  # of unequal width
PROBES = {"auto": 1.0, "thorough": 4.0}
HEAVY, MIN_MET = 0.01, 6  # share from which a mode has to be met so often by searches and probes
SEEN_EARLY, SEEN_LATER = 4, 2  # searches that are looked at to tell a spike from a mode, by stage
SPIKE = 3.0  # nats by which their ways have to be better


class FirstMixture(NamedTuple):
    """A mixture to begin with.

    Attributes:
      log_weights: [K].
      loc: [K, D].
      scale_tril: [K, D, D].
    """

    log_weights: np.ndarray
    loc: np.ndarray
    scale_tril: np.ndarray


class ModeSearch:
    """Searches of one target.

    Args:
      counted: the target.
      start: where to search.
      budget: most evaluations of the target; they are never exceeded.
      seed: integer.
      effort: "auto" or "thorough".
      max_components: most components of a mixture; None leaves one to every mode.

    Attributes:
      catalog: the modes found so far.
      counted: as given.
      is_cut: whether the budget has ended searches that were worth going on with.
    """

    def __init__(
        self,
        counted: CountedTarget,
        start: Start,
        *,
        budget: float,
        seed: int = 0,
        effort: str = "auto",
        max_components: int | None = None,
    ):
        self.counted = counted
        self.catalog = Catalog()
        self.is_cut = self._goes_on = False
        self._start, self._budget, self._effort = start, budget, effort
        self._max_components = max_components
        self._rng = np.random.default_rng([seed, 2])
        self._planting = np.random.default_rng([seed, 3])
        self._chance: tuple[tuple[int, int], float] | None = None
        self._first: Runs | None = None
        self._small: FirstMixture | None = None
        self._probes: list[np.ndarray] = []
        self._has_news, self._num_wandering = True, 0
        self._probes_tell = True
        dim = len(start.mean)
        self._has_gradient = counted.target.has_gradient
        cost = hessian_cost(dim) if self._has_gradient else fitted_cost(dim)
        self._mode_cost = cost + NUM_ELBO_DRAWS

    @property
    def left(self) -> float:
        """Evaluations that are left."""
        return self._budget - self.counted.count

    @property
    def num_probes(self) -> int:
        """Probes so far."""
        return sum(len(each) for each in self._probes)

    @property
    def chance_to_meet(self) -> float | None:
        """Share of somewhat narrower modes that the probes would have met; None where the modes
        are copies of one another, or one, or nothing was probed."""
        if not self._probes or self.catalog.are_copies:
            return None
        of = len(self._probes), len(self.catalog.relevant)
        if self._chance is None or self._chance[0] != of:  # the same when it is asked for again
            found = chance_to_meet(np.concatenate(self._probes), self.catalog, self._planting)
            self._chance = of, found
        return self._chance[1]

    @property
    def _max_iterations(self) -> int:
        """Of a search that knows nothing of widths."""
        return max(MAX_ITERATIONS, int(PER_DIMENSION * len(self._start.mean)))

    def excuse(self, count: int) -> None:
        """Leaves evaluations that others have made of the same target out of the budget."""
        self._budget += count

    def run(self) -> FirstMixture:
        """Searches for modes; a mixture of what was found."""
        # What a search, the modes found by all and the candidates on their ways may cost.
        run_cost = 3 * SAVE_AT[-1] + len(SAVE_AT) * self._mode_cost
        num_starts = int(min(len(self._start.points), self._budget // run_cost))
        if not self._has_gradient:
            return self._without_gradient() or self._by_draws()
        if num_starts < MIN_STARTS:
            self._small = self._by_scores() or self._by_draws()
            return self._small
        # The first searches leave enough to look at where they have come by.
        points = self._start.points[:num_starts]
        self._first = self._searched(points, (*SAVE_AT, self._max_iterations), self._budget / 2)
        self._enter(self._first)
        if self._leads_into_a_spike(self._first):
            self._widen()
        else:
            self._go_on_with_lost(self._first)
            self._search_on()
        return self.of_modes() or self.with_candidates(1)

    def _without_gradient(self) -> FirstMixture | None:
        """The same by direct search, from the best of some draws and from all starting points."""
        dim = len(self._start.mean)
        run_cost = DIRECT_COST * dim + self._mode_cost
        count = int(min(len(self._start.points), self._budget // (2 * run_cost)))
        if count < MIN_STARTS:
            return None
        self._enter(self._directly(self._start.points[:count], 0.5 * self._budget))
        self._search_on()
        return self.of_modes()

    def _directly(self, points: np.ndarray, budget: float) -> Runs:
        """Direct searches; their last shapes are kept for the quadratic functions at the ends."""
        scale = np.diag(0.5 * self._start.scale)
        runs, self._shapes = minimize_without_gradient(
            lambda x: -self.counted.values(x),
            points,
            budget,
            self._rng,
            self._furthest(),
            scale=np.broadcast_to(scale, (len(points), *scale.shape)).copy(),
            epsilon=self.counted.epsilon,
        )
        return runs

    def of_modes(self) -> FirstMixture | None:
        """Gaussians at the modes that are worth a component, heaviest first."""
        modes = self.catalog.modes
        worth = [each for each in modes if each.log_mass > modes[0].log_mass - MAX_LOSS]
        return _mixture(worth[: self._max_components]) if worth else None

    def found_so_far(self) -> FirstMixture:
        """A mixture without further evaluations: of the modes, else around the best point met."""
        start, point = self._start, self.counted.best_point
        loc = start.center if point is None else point
        alone = FirstMixture(np.zeros(1), loc[np.newaxis], np.diag(start.scale)[np.newaxis])
        return self.of_modes() or alone

    def singularity(self) -> tuple[np.ndarray, float] | None:
        """Where the first searches went up without end, [D], and the power of 1/r; None if not.

        It is asked where the highest of them has ended in no mode.
        """
        runs = self._first
        if runs is None or not np.isfinite(runs.value).any():
            return None
        top = np.nanargmin(np.where(np.isfinite(runs.value), runs.value, np.inf))
        point = runs.x[top]
        if self.catalog.covers(point[np.newaxis], -runs.value[top : top + 1])[0]:
            return None
        power = singular_power(self.counted, point, self._start.scale)
        return None if power is None else (point, power)

    def with_candidates(self, most: int) -> FirstMixture:
        """Modes, and Gaussians on the way of the first searches that lie beside them.

        Args:
          most: most components, unless there are more modes.
        """
        runs = self._first
        if runs is None:
            return self._small or self._by_draws()
        saved = runs.saved[-1:] + runs.saved[-2::-1]
        # A way to a mode is like the other ways to it: two of them show it.
        index = self.catalog.matched(runs.x)
        shown: dict[int, int] = {}
        used = []
        for row, mode in enumerate(index):
            shown[mode] = shown.get(mode, 0) + 1
            if mode < 0 or not runs.has_rested[row] or shown[mode] <= 2:
                used.append(row)
        points = np.concatenate([each[used] for each in saved])
        points = points[distinct(points, self._start.scale, 1e-3)]
        points = points[self.catalog.matched(points) < 0]
        points = points[: int(self.left // self._mode_cost)]
        modes = list(self.catalog.modes)
        if len(points):
            factors = inverse_hessians(self.counted, points, self._start.scale, self._rng)
            masses = scored(self.counted, points, factors, self._rng).elbos
            found = zip(points, factors, masses, strict=True)
            modes += [Mode(*each, -np.inf, 0) for each in found]
        chosen = _chosen(modes, max(most, len(self.catalog.modes)))[: self._max_components]
        return _mixture(chosen) if chosen else self._by_draws()

    def joined(self, found: list[Mode]) -> FirstMixture | None:
        """The mixture of all modes after others, found elsewhere, have joined the catalog.

        Where those are the first besides one, more may be about: searches go on. None if the
        catalog has them all: what is lacking is no matter of modes.
        """
        found = [mode for mode in found if self.catalog.matched(mode.loc[np.newaxis])[0] < 0]
        if not found:
            return None
        num_searches = self.catalog.num_searches + sum(mode.num_found for mode in found)
        self.catalog = Catalog([*self.catalog.modes, *found], num_searches)
        self._search_on()
        return self.of_modes()

    def go_on(self, budget: float) -> FirstMixture | None:
        """The mixture of all modes after searches that the budget had cut; None without new ones.

        Args:
          budget: as for the class; a larger one.
        """
        before = len(self.catalog.modes)
        self._budget = max(budget, self._budget)
        # Searches that were cut brought no news, and probes that were not made told nothing.
        self._has_news = self._probes_tell = self._goes_on = True
        self._search_on()
        return self.of_modes() if len(self.catalog.modes) > before else None

    def _search_on(self) -> None:
        """Further rounds, each as large as all before, while they are worth it."""
        spent, most = -1, MAX_MODES[self._effort]
        while not self._is_enough() and self.catalog.estimated_number <= most:
            catalog = self.catalog
            before, spent = catalog.num_searches, self.counted.count
            if self._wanders:
                self._wander()
            elif self._has_gradient and catalog.relevant and self._probes_tell:
                probes = self.num_probes
                self._probe()
                # Around bent modes no slope leads straight to one, nor do steps in their scale.
                told = self.catalog.num_searches - before
                self._probes_tell = told > MIN_TOLD * (self.num_probes - probes)
            else:
                self._search_from_more_points()
                if self.catalog.num_searches == before:
                    break
        self.is_cut = self.counted.count == spent or self.left < 2 * MIN_STARTS

    @property
    def _wanders(self) -> bool:
        """Whether searches are to be made between probes, all of which one mode may explain.

        Where modes differ in width one of them is densest at nearly all distant points; the way of
        a search leads through the regions of others.
        """
        is_over = self._num_wandering >= MAX_WANDERING or self.left < 2 * WANDERING
        return self._has_gradient and self._has_news and not is_over and not self.catalog.are_copies

    def _wander(self) -> None:
        """Some searches; notes whether any of them has ended in a mode that was not known."""
        before = len(self.catalog.modes)
        points = more_points(self._start, self.catalog.locations(), WANDERING, self._rng)
        self._num_wandering += len(points)
        self._enter(self._searched(points, (self._max_iterations,), 0.6 * self.left))
        self._has_news = len(self.catalog.modes) > before

    def _search_from_more_points(self) -> None:
        """One round of searches."""
        catalog = self.catalog
        count = min(max(catalog.num_searches, MIN_STARTS), MAX_ROUND)
        per_search = self.counted.count / max(catalog.num_searches, 1)
        count = int(min(count, self.left / 2 // max(per_search, 1.0)))
        if count < MIN_STARTS:
            return
        points = more_points(self._start, catalog.locations(), count, self._rng)
        if self._has_gradient:
            self._enter(self._searched(points, (self._max_iterations,), 0.6 * self.left))
        else:
            self._enter(self._directly(points, 0.6 * self.left))

    def _probe(self) -> None:
        """One round of probes (`exploration.probes`), and searches from those not explained.

        A probe that is explained counts as a search that has ended there.
        """
        count = int(np.clip(self.num_probes, self._least_alone, MAX_PROBES))
        count = min(count, int(self.left / 2))
        if count < MIN_STARTS:
            return
        known = self.catalog
        factors = np.array([mode.scale_tril for mode in known.relevant])
        x = probe_points(self._start, known.locations(), factors, count, self._rng)
        x = x[np.max(np.abs(x), axis=1) <= self._furthest()]
        loss, slope = self.counted.loss(x)
        self._probes.append(x)
        left = np.isfinite(loss)
        is_new = True
        while True:
            modes = self.catalog.modes
            loc = np.array([mode.loc for mode in modes])
            factors = np.array([mode.scale_tril for mode in modes])
            rows = np.flatnonzero(left)
            index = leads_to(x[rows], -slope[rows], loc, factors)
            self.catalog = self.catalog.with_counts(index)
            left[rows[index >= 0]] = False
            rows = rows[index < 0]
            most = max(MAX_FOLLOWED, MIN_SEVERAL - self.catalog.num_searches)
            if len(modes) == 1:
                most = MAX_ALONE
            rows = rows[:: max(1, -(-len(rows) // most))]
            if not is_new or len(rows) < 1 or self.left < MIN_FOLLOWED_COST * len(rows):
                return
            left[rows] = False
            before = len(self.catalog.modes)
            self._enter(self._followed(x[rows]))
            is_new = len(self.catalog.modes) > before

    def _leads_into_a_spike(self, runs: Runs) -> bool:
        """Whether there is more mass on the way of the first searches than where they ended."""
        modes = self.catalog.modes
        if modes and self._is_enough():
            return False  # no further searches, whatever this is
        # All end in the same spike, and late on the way have lost the mass: several ways early on
        # tell more.
        best = np.argsort(runs.value, kind="stable")
        best = best[np.isfinite(runs.value[best])]
        early, later = runs.saved[0][best[:SEEN_EARLY]], runs.saved[1][best[:SEEN_LATER]]
        points = np.concatenate([early, later])
        points = points[self.catalog.matched(points) < 0]
        points = points[: int(self.left // self._mode_cost)]
        if not modes or not len(points):
            return not modes
        factors = inverse_hessians(self.counted, points, self._start.scale, self._rng)
        mass = scored(self.counted, points, factors, self._rng).elbos
        return bool(np.max(mass) > modes[0].log_mass + SPIKE)

    def _widen(self) -> None:
        """Takes the inverse Hessians for all modes again.

        Gaussians that are narrowed until they fit fit a spike, and what begins with them stays
        there.
        """
        modes = self.catalog.modes[: int(self.left // self._mode_cost)]
        if not modes or not self._has_gradient:
            return
        loc = np.array([mode.loc for mode in modes])
        counted, rng = self.counted, self._rng
        factors = inverse_hessians(counted, loc, self._start.scale, rng, are_modes=True)
        masses = scored(counted, loc, factors, rng).elbos
        self.catalog = Catalog(
            [
                mode._replace(scale_tril=factor, log_mass=float(mass))
                for mode, factor, mass in zip(modes, factors, masses, strict=True)
                if np.isfinite(mass)
            ],
            self.catalog.num_searches,
        )

    def _is_enough(self) -> bool:
        """Whether further searches are not worth it."""
        catalog = self.catalog
        number = len(catalog.relevant)
        least = MIN_SEARCHES[self._effort]
        if number > 1:
            least = max(least, MIN_SEVERAL, MIN_PER_MODE * number)
        if catalog.num_searches < least:
            return False
        is_probed = self._has_gradient and number and self._probes_tell
        if is_probed and self.num_probes < self._least_probes():
            return False
        return catalog.new_mode_chance <= NEW_MODE_CHANCE[self._effort]

    def _least_probes(self) -> float:
        """Few where one mode is known; else many, until each has been met some times, and on while
        others that are somewhat narrower would soon have been met, too."""
        shares = self.catalog.shares
        factor = PROBES[self._effort]
        if len(self.catalog.relevant) == 1:
            return self._least_alone * factor
        modes = zip(self.catalog.modes, shares, strict=True)
        met = (mode.num_found for mode, share in modes if share > HEAVY)
        if min(met, default=MIN_MET) < MIN_MET:  # of very many none is heavy
            return math.inf
        is_few = self.catalog.are_copies or self._goes_on
        by_dimension = FEW_PROBES if is_few else LEAST_PROBES
        least = by_dimension.get(len(self._start.mean), by_dimension[None]) * factor
        if is_few or self.num_probes < least:
            return least
        chance, number = self.chance_to_meet, len(self.catalog.relevant)
        is_in_reach = chance is not None and MIN_CHANCE <= chance < chance_wanted(number)
        return math.inf if is_in_reach else least

    @property
    def _least_alone(self) -> int:
        """Probes with one mode known: far out they see a narrower one in few dimensions."""
        return LEAST_ALONE[int(len(self._start.mean) > FEW_DIMENSIONS)]

    def _furthest(self) -> float:
        """The coordinate at which a run has gone astray."""
        modes = self.catalog.modes
        loc = np.array([mode.loc for mode in modes])
        return furthest_coordinate(loc, np.array([mode.scale_tril for mode in modes]))

    def _followed(self, points: np.ndarray) -> Runs:
        """Runs from points that no known mode explains, until they reach one."""
        known = self.catalog
        factors = np.array([mode.scale_tril for mode in known.modes])
        nearest = known.squared_distances(points).argmin(axis=0)
        cost = MAX_ALONE_COST if len(known.modes) == 1 else MAX_FOLLOWED_COST
        runs = followed(
            self.counted,
            points,
            factors[nearest],
            self._typical_widths(),
            min(0.6 * self.left, (cost + FEW_OWN * hessian_cost(points.shape[1])) * len(points)),
            self._rng,
            furthest=self._furthest(),
            lowest=-max(mode.log_prob for mode in known.modes) - 0.5 * points.shape[1],
            is_done=lambda x, loss: known.covers(x, -loss),
        )
        return runs._replace(has_rested=runs.has_rested | runs.is_done)

    def _searched(self, points: np.ndarray, save_at: tuple[int, ...], budget: float) -> Runs:
        """Runs from `points`; those that do not come to rest go on in the scale of a mode.

        Where widths differ by orders of magnitude, L-BFGS needs many iterations to learn them; the
        inverse Hessian at the best point knows them. Among modes of unequal shapes it knows those
        of one of them: there each run goes on in the shape of the point where it is.
        """
        before = self.counted.count
        runs = minimize(
            self.counted.loss,
            points,
            save_at,
            budget,
            self._furthest(),
            epsilon=self.counted.epsilon,
        )
        budget -= self.counted.count - before
        if not np.isfinite(runs.value).any() or budget < 2 * self._mode_cost:
            return runs
        if not self.catalog.are_copies:
            return self._going_on(runs, budget)
        if self.catalog.modes:
            factor = self.catalog.modes[0].scale_tril
        else:
            best = runs.x[np.argmin(runs.value)][np.newaxis]
            factor = inverse_hessians(
                self.counted, best, self._start.scale, self._rng, are_modes=True
            )[0]
            budget -= self._mode_cost
        is_tired = ~runs.has_rested | self._is_off(runs.grad @ factor, runs.value)
        tired = np.flatnonzero(np.isfinite(runs.value) & is_tired)
        if not len(tired) or budget < MIN_STARTS * len(tired):
            return runs
        scale = np.broadcast_to(factor, (len(tired), *factor.shape))
        more = minimize(
            self.counted.loss,
            runs.x[tired],
            (SECOND_WIND,),
            budget,
            self._furthest(),
            scale=scale,
            epsilon=self.counted.epsilon,
        )
        for old, new in zip(runs[1:], more[1:], strict=True):
            old[tired] = new
        return runs

    def _go_on_with_lost(self, runs: Runs) -> None:
        """The first searches that have ended in no mode: it may be one of another shape."""
        is_lost = np.isfinite(runs.value) & ~self.catalog.covers(runs.x, -runs.value)
        lost = np.flatnonzero(is_lost)
        if not self.catalog.modes or not len(lost):
            return
        again = Runs([], *(field[lost] for field in runs[1:]))
        again.has_rested[:] = False
        self._enter(self._going_on(again, LOST_SHARE * self.left))

    def _going_on(self, runs: Runs, budget: float) -> Runs:
        """Runs among modes of unequal shapes, each in that of the point where it is."""
        known = self.catalog
        in_own_shapes(
            self.counted,
            runs,
            runs.x.copy(),
            self._typical_widths(),
            budget,
            self._rng,
            furthest=self._furthest(),
            is_done=lambda x, loss: known.covers(x, -loss),
        )
        return runs._replace(has_rested=runs.has_rested | runs.is_done)

    def _typical_widths(self) -> np.ndarray:
        """Of the known modes, by dimension, [D]."""
        factors = np.array([mode.scale_tril for mode in self.catalog.modes])
        return np.exp(np.log(np.linalg.norm(factors, axis=2)).mean(axis=0))

    @np.errstate(over="ignore", invalid="ignore")  # gradients too large to square
    def _is_off(self, whitened: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Which ends are no optimum: gradients [n, D] in the scale of the mode, log density [n]."""
        rounding = ROUNDING * self.counted.epsilon * np.abs(value)
        return np.sum(whitened**2, axis=1) > np.maximum(MAX_OFF, rounding)

    def _enter(self, runs: Runs) -> None:
        """Puts where the runs came to rest into the catalog."""
        rested = np.flatnonzero(runs.has_rested & np.isfinite(runs.value))
        rested = rested[~self.counted.has_risen_beyond(runs.x[rested])]
        rested = rested[np.argsort(runs.value[rested], kind="stable")]  # highest first
        ends, heights = runs.x[rested], -runs.value[rested]
        new = np.flatnonzero(~self.catalog.covers(ends, heights))
        new = new[distinct(ends[new], self._start.scale)][: int(self.left // self._mode_cost)]
        modes: list[Mode] = []
        if len(new):
            if self._has_gradient:
                factors = inverse_hessians(
                    self.counted, ends[new], self._start.scale, self._rng, are_modes=True
                )
            else:
                shapes = self._shapes[rested[new]]
                factors = fitted_hessians(self.counted, ends[new], shapes, self._rng)
            # A run may also rest where rounding hides the way on.
            off = np.einsum("cij,ci->cj", factors, runs.grad[rested[new]])
            found = Catalog()
            kept: list[int] = []
            for index in np.flatnonzero(~self._is_off(off, heights[new])):
                place, height = ends[new[index]], float(heights[new[index]])
                if not found.covers(place[np.newaxis], np.array([height]))[0]:
                    kept.append(index)
                    mass = laplace_mass(height, factors[index])
                    found = Catalog([*found.modes, Mode(place, factors[index], mass, height, 0)])
            rows, budget = new[kept], SHAPES_SHARE * self.left
            factors, draws, _ = fitting_gaussians(
                self.counted, ends[rows], heights[rows], factors[kept], self._rng, budget
            )
            modes = [
                Mode(ends[row], factor, float(mass), float(heights[row]), 0)
                for row, factor, mass in zip(rows, factors, draws.elbos, strict=True)
                if np.isfinite(mass)
            ]
        self.catalog = self.catalog.with_ends(ends, modes)

    def _by_scores(self) -> FirstMixture | None:
        """With little budget: the Gaussian whose scores the target has."""
        found = matched_gaussian(
            self.counted,
            self._start.center,
            np.diag(self._start.scale),
            self._budget,
            self._furthest(),
            self._rng,
        )
        if found is None:
            return None
        loc, factor = found
        return FirstMixture(np.zeros(1), loc[np.newaxis], factor[np.newaxis])

    def _by_draws(self) -> FirstMixture:
        """Without gradients or budget: wide Gaussians at the best of some draws."""
        start, rng = self._start, self._rng
        dim = len(start.mean)
        count = int(min(200 + 20 * dim, max(self.left, 0)))
        factor = np.diag(start.scale)
        alone = FirstMixture(np.zeros(1), start.center[np.newaxis], factor[np.newaxis])
        if count < 1:
            return alone
        draws = start.center + start.scale * rng.standard_normal((count, dim))
        if start.given is not None:
            draws[0] = start.given
        values = self.counted.values(draws)
        order = np.argsort(-values, kind="stable")
        order = order[np.isfinite(values[order])]
        most = min(self._max_components or FEW, FEW)
        order = order[distinct(draws[order], start.scale, 1.0)][:most]
        if not len(order):
            return alone
        factors = np.broadcast_to(0.5 * factor, (len(order), dim, dim))
        return FirstMixture(np.full(len(order), -np.log(len(order))), draws[order], factors)


def _chosen(candidates: list[Mode], most: int) -> list[Mode]:
    """Best first; none whose mean lies in the bulk of one chosen before."""
    chosen: list[Mode] = []
    known = Catalog()
    for each in sorted(candidates, key=lambda mode: -mode.log_mass):
        if not np.isfinite(each.log_mass) or len(chosen) >= most:
            break
        if chosen and each.log_mass < chosen[0].log_mass - MAX_LOSS:
            break
        if known.matched(each.loc[np.newaxis])[0] < 0:
            chosen.append(each)
            known = Catalog(chosen)
    return chosen


def _mixture(modes: list[Mode]) -> FirstMixture:
    log_mass = np.array([mode.log_mass for mode in modes])
    return FirstMixture(
        log_mass - np.logaddexp.reduce(log_mass),
        np.array([mode.loc for mode in modes]),
        np.array([mode.scale_tril for mode in modes]),
    )
