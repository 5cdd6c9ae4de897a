"""Stage: the learner with its first mixture, from a search for modes or from its prior.

A first mixture that passes the importance check and an audit is the end of the fit; else Gaussians
on the way to the modes join it, and it is trained.
"""

import math
import time
from typing import NamedTuple

import numpy as np

from gmmvi_ext.config.auto import MAX_COMPONENTS_KEY
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import ConfigError, Problem
from gmmvi_ext.constraints.coordinate_map import AnyMap
from gmmvi_ext.exploration.audit import NUM_SEARCHES, Audit, audit
from gmmvi_ext.exploration.catalog import Catalog
from gmmvi_ext.exploration.counted import CountedTarget, OutOfTime
from gmmvi_ext.exploration.search import FirstMixture, ModeSearch
from gmmvi_ext.exploration.starting_points import Start, start_from
from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.fitting.exploration import can_explore
from gmmvi_ext.fitting.initial_values import initial_point
from gmmvi_ext.fitting.journal import EvaluationJournal
from gmmvi_ext.fitting.learner import build_learner, set_first_mixture
from gmmvi_ext.fitting.stages.coordinates import (
    EVALUATION_SHARE as COORDINATES_SHARE,
)
from gmmvi_ext.fitting.stages.coordinates import (
    LearnedCoordinates,
    can_bend,
    learn_coordinates,
    num_round_samples,
    saved_map,
)
from gmmvi_ext.fitting.stages.importance_check import (
    Checked,
    first_as_mixture,
    importance_check,
    num_check_samples,
)
from gmmvi_ext.gaussians import FullGaussians
from gmmvi_ext.inference.component_adaptation.base import Prior
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.math.blas import one_blas_thread
from gmmvi_ext.posterior.run_info import checked_run_info
from gmmvi_ext.training.host_state import CheckpointError, is_like

__all__ = ["StartStage", "Started"]

EVALUATION_SHARE = 0.2  # of `training.max_evaluations`, for searches
SMALL_SHARE, SMALL = 0.5, 600  # where that is less than the second of these: half, up to it
CHECK_SHARE = 0.6  # of the same, for searches, importance check and audit
SEARCH_SECONDS, CHECK_SECONDS = 0.4, 0.6  # shares of `training.max_seconds`, likewise
MAX_EVALUATIONS = 20_000
SEARCH_ON_SHARE, MAX_SEARCHED_ON = 0.5, 60_000  # the same for searches that first modes do not end
MAX_COMPONENTS = 10  # of the first mixture, unless there are more modes
MAX_AUDITS = 3
MIN_AUDIT, AUDIT_SHARE = 600, 0.25  # evaluations of an audit, and as a share of those before it
MAX_TAIL = 0.02  # share that it may lack around itself, by few draws
MAX_MISSED = 0.001  # share of the mass that a first mixture may lack: far out it moves an sd
NEARLY = 0.85  # share of the draws at which a mixture fits the modes that it has
PROMISING_ESS = 0.6  # share of the draws from which a Gaussian in learned coordinates is checked


class Started(NamedTuple):
    """What the stage came to.

    Attributes:
      num_evaluations: of the target.
      is_good: whether the first mixture needs no training.
      catalog: the modes found, and the searches behind them.
      chance_to_meet: share of narrower modes that the searches would have met; None where the
        modes known give no reason to ask.
      checks: figures of the importance check.
      audit: of a good first mixture; None for others.
      coordinates: what was learned of them; None where nothing was tried.
      singular: where the density rises without end, too fast to be normalized, and as which power
        of the distance: nothing is trained then. None where it does not.
    """

    num_evaluations: int = 0
    is_good: bool = False
    catalog: Catalog = Catalog()
    checks: tuple[dict, ...] = ()
    audit: Audit | None = None
    chance_to_meet: float | None = None
    coordinates: LearnedCoordinates | None = None
    singular: tuple[np.ndarray, float] | None = None

    def as_dict(self) -> dict:
        """Plain data for a checkpoint."""
        about: dict = {"num_evaluations": self.num_evaluations, "is_good": self.is_good}
        if self.catalog.num_searches:
            about["modes"] = self.catalog.as_dict() | {"chance_to_meet": self.chance_to_meet}
        if self.checks:
            about["importance_check"] = list(self.checks)
        if self.audit is not None:
            about["audit"] = self.audit.as_dict()
        if self.coordinates is not None:
            about["coordinates"] = self.coordinates.as_dict()
        if self.singular is not None:
            point, power = self.singular
            about["singular"] = {"location": point.tolist(), "power": power}
        return about

    @staticmethod
    def checked(about, num_dimensions: int) -> dict:
        """What a checkpoint holds of the stage, if it is what `as_dict` gives.

        Raises:
          CheckpointError: it is not.
        """
        wanted = {"num_evaluations": 0, "is_good": False}
        checks = about.get("importance_check", []) if isinstance(about, dict) else None
        if (
            not isinstance(checks, list)
            or not is_like({key: about.get(key) for key in wanted}, wanted)
            or about["num_evaluations"] is None
            or not all(isinstance(each, dict) and is_like(each.get("elbo"), 0.0) for each in checks)
            or (about["is_good"] and not checks)
        ):
            raise CheckpointError("the checkpoint's state of the start cannot be used.")
        return checked_run_info(about, num_dimensions)


class StartStage:
    """Builds the learner; searches for its first mixture where the configuration says so.

    Args:
      context: of the fit.

    Attributes:
      start: where the search begins: points, center and width by dimension.
      learner: before `run`, with the mixture of `model_initialization`.
    """

    def __init__(self, context: FitContext):
        self._context = context
        config = context.config
        given = config.values["model_initialization"]
        self.is_on = config.start.mode != "off"
        self.start: Start | None = None
        self._singular: tuple[np.ndarray, float] | None = None
        if self.is_on:
            target = context.target
            _refuse_other_lengths(config, target.num_dimensions)
            wanted = {**(target.initial_values or {}), **(config.start.initial_values or {})}
            self.start = start_from(
                context.shared,
                mean=given["prior_mean"],
                scale=given["prior_scale"],
                initial=initial_point(target.layout, wanted, target.dtype),
                seed=config.seed,
            )
        self.learner: GMMVI = build_learner(config, context.shared, self.start)

    @one_blas_thread()
    def run(self, journal: EvaluationJournal | None = None) -> Started:
        """Searches, and gives the learner what was found.

        Args:
          journal: keeps the evaluations of the search on disk.
        """
        context, config = self._context, self._context.config
        start = self.start
        if start is None:
            raise ValueError("there is nothing to search for: `start.mode` is off.")
        budget = config.start.max_evaluations
        if budget is None:
            most = config.training.max_evaluations
            budget = MAX_EVALUATIONS
            if most is not None:
                budget = max(EVALUATION_SHARE * most, min(SMALL_SHARE * most, SMALL))
        deadline = context.deadline(SEARCH_SECONDS)
        counted = CountedTarget(context.shared, journal, deadline=deadline)
        search = ModeSearch(
            counted,
            start,
            budget=budget,
            seed=config.seed,
            effort=self._effort(),
            max_components=config.written(MAX_COMPONENTS_KEY),
        )
        first, checked, found, learned = self._searched(search, start)
        catalog = search.catalog
        if learned is not None and learned.coordinate_map is not None:
            catalog = catalog.in_coordinates(learned.coordinate_map)
        set_first_mixture(self.learner, first)
        started = Started(
            counted.count,
            checked.is_good,
            catalog,
            tuple(checked.rounds),
            found,
            search.chance_to_meet,
            learned,
            self._singular,
        )
        context.say(f"start: {_described(started, len(first.log_weights))}")
        return started

    def restore(self, state: dict) -> None:
        """Takes back the coordinates that an earlier session has learned.

        Args:
          state: what its checkpoint holds beside tensors.
        """
        try:
            found = saved_map(state)
            if found is not None:
                self._set_map(found)
        except (AttributeError, ValueError) as error:  # also where the run has no coordinates
            text = f"the checkpoint's coordinates cannot be used: {error}"
            raise CheckpointError(text) from error

    def seconds(self, before: float) -> float:
        """Seconds before training, over all sessions; none where nothing was searched for."""
        spent = time.perf_counter() - self._context.begin
        return before + spent if self.is_on else before

    def _searched(
        self, search: ModeSearch, start: Start
    ) -> tuple[FirstMixture, Checked, Audit | None, LearnedCoordinates | None]:
        """The first mixture, and what check and audit say; what there is when time is over."""
        counted, found, learned = search.counted, None, None
        try:
            first = search.run()
        except OutOfTime:
            first = search.found_so_far()
            self._context.say("start: no time is left to search for modes")
            return first, Checked(first, False, []), None, None
        counted.deadline = self._context.deadline(CHECK_SECONDS)
        checked = Checked(first, False, [])
        try:
            self._singular = search.singularity()
            if self._singular is not None:
                return first, checked, None, None
            if self._context.config.importance_check.mode != "off" and self._can_pass():
                checked, found = self._checked(search, first, start)
            if not checked.is_good and self._bends(search.catalog):
                before = counted.count
                learned = self._learned(counted, checked.mixture)
                search.excuse(counted.count - before)
                if learned.coordinate_map is not None and learned.first is not None:
                    self._set_map(learned.coordinate_map)
                    bent, found = self._checked_in_coordinates(counted, learned.first, learned.ess)
                    bent = bent._replace(rounds=checked.rounds + bent.rounds)
                    return bent.mixture, bent, found, learned
            if not checked.is_good and not self._context.target.is_stochastic:
                first = search.with_candidates(self._max_components())
            elif not checked.is_good:
                first = checked.mixture  # noise would be fitted by what joins it
        except OutOfTime:
            return search.found_so_far(), Checked(first, False, []), None, learned
        return checked.mixture if checked.is_good else first, checked, found, learned

    def _effort(self) -> str:
        return "thorough" if self._context.config.explore.mode == "thorough" else "auto"

    def _can_pass(self) -> bool:
        """Whether Gaussians at the modes can be what is asked for: with whole covariances, too."""
        components = self.learner.mixture().components
        is_full = isinstance(components, FullGaussians)
        return is_full and can_explore(self._context.config.values, self.learner)

    def _bends(self, catalog: Catalog) -> bool:
        """Whether coordinates are to be learned: with whole covariances, around a single mode."""
        mode = self._context.config.coordinates.mode
        if mode == "identity" or not (self._can_pass() and can_bend(self.learner)):
            return False
        return mode != "auto" or len(catalog.relevant) <= 1

    def _learned(self, counted: CountedTarget, first: FirstMixture) -> LearnedCoordinates:
        context, config = self._context, self._context.config
        dim = counted.target.num_dimensions
        most = config.training.max_evaluations
        learned = learn_coordinates(
            counted,
            first,
            mode=config.coordinates.mode,
            num_samples=num_round_samples(config, dim),
            budget=math.inf if most is None else COORDINATES_SHARE * most,
            until=counted.deadline,
            seed=config.seed,
        )
        context.say(f"coordinates: {learned}")
        return learned

    def _set_map(self, coordinate_map: AnyMap) -> None:
        """Changes targets, start and learner to the coordinates of a map."""
        self._context.set_map(coordinate_map)
        if self.start is not None:
            self.start = self.start.in_coordinates(coordinate_map)
            self.learner.set_prior(Prior(self.start.mean, self.start.scale**2))

    def _checked_in_coordinates(
        self, counted: CountedTarget, first: FirstMixture, ess: float
    ) -> tuple[Checked, Audit | None]:
        """The Gaussian in learned coordinates as importance check and audit leave it."""
        config = self._context.config
        checked = Checked(first, False, [])
        if config.importance_check.mode == "off" or ess < PROMISING_ESS:
            return checked, None
        most = config.training.max_evaluations
        budget = math.inf if most is None else CHECK_SHARE * most
        try:
            checked = importance_check(
                counted,
                first,
                num_samples=num_check_samples(config, counted.target.num_dimensions),
                budget=budget - counted.count,
                seed=config.seed + MAX_AUDITS,
            )
            if not checked.is_good or config.explore.mode == "off":
                return checked, None
            found = self._audited(counted, checked, budget, MAX_AUDITS)
        except OutOfTime:
            return checked._replace(is_good=False), None
        return checked._replace(is_good=_is_complete(found)), found

    def _audited(
        self, counted: CountedTarget, checked: Checked, budget: float, number: int
    ) -> Audit:
        config = self._context.config
        if self.start is None:
            raise ValueError("an audit needs a place where its searches begin.")
        num_searches = config.explore.num_audit_searches
        least = MIN_AUDIT * num_searches / NUM_SEARCHES
        return audit(
            counted,
            first_as_mixture(checked.mixture),
            self.start,
            num_searches=num_searches,
            max_evaluations=min(budget - counted.count, max(least, AUDIT_SHARE * counted.count)),
            seed=config.seed + number,
        )

    def _max_components(self) -> int:
        limit = self._context.config.values["num_component_adapter_config"].get("max_components")
        return min(limit or MAX_COMPONENTS, MAX_COMPONENTS)

    def _checked(
        self, search: ModeSearch, first: FirstMixture, start: Start
    ) -> tuple[Checked, Audit | None]:
        """The first mixture as importance check and audit leave it."""
        config = self._context.config
        counted = search.counted
        num_samples = num_check_samples(config, len(start.mean))
        most = config.training.max_evaluations
        budget = math.inf if most is None else CHECK_SHARE * most
        found = None

        def check(mixture: FirstMixture, number: int) -> Checked:
            left, seed = budget - counted.count, config.seed + number
            return importance_check(
                counted, mixture, num_samples=num_samples, budget=left, seed=seed
            )

        for number in range(MAX_AUDITS):
            checked = check(first, number)
            if _fits(checked) and (grown := self._searched_on(search)) is not None:
                first, checked = grown, check(grown, number + MAX_AUDITS)
            if not checked.is_good or config.explore.mode == "off":
                break
            found = self._audited(counted, checked, budget, number)
            if _is_complete(found):
                break
            checked = checked._replace(is_good=False)
            joined = search.joined(found.modes)
            if joined is None:
                break
            first = joined
        return checked, found

    def _searched_on(self, search: ModeSearch) -> FirstMixture | None:
        """The mixture of more modes, where the budget has cut the searches and they find some.

        A mixture that fits where it is leaves the evaluations of its training to them.
        """
        config = self._context.config
        is_limited = config.start.max_evaluations is not None
        if is_limited or not search.is_cut or len(search.catalog.relevant) < 2:
            return None
        most = config.training.max_evaluations
        budget = MAX_SEARCHED_ON if most is None else min(SEARCH_ON_SHARE * most, MAX_SEARCHED_ON)
        return search.go_on(budget)


def _refuse_other_lengths(config: Config, num_dimensions: int) -> None:
    """Refuses vectors of `model_initialization` that belong to other dimensions."""
    for name in ("prior_mean", "prior_scale"):
        value = config.values["model_initialization"][name]
        if isinstance(value, list | tuple) and len(value) not in (1, num_dimensions):
            key = f"model_initialization.{name}"
            text = f"must be a number or {num_dimensions} numbers, got {value!r}."
            raise ConfigError(Problem(config.origin(key), key, text))


def _fits(checked: Checked) -> bool:
    """Whether Gaussians at modes are about what the target is there, moved by few draws or not."""
    return checked.is_good or max((each["ess"] for each in checked.rounds), default=0.0) > NEARLY


def _is_complete(found: Audit) -> bool:
    """Whether an audit lets a first mixture pass."""
    return found.missed_mass < MAX_MISSED and found.tail_mass < MAX_TAIL


def _described(started: Started, num_components: int) -> str:
    catalog = started.catalog
    plural = "" if num_components == 1 else "s"
    text = f"{num_components} component{plural} after {started.num_evaluations:,} evaluations"
    if catalog.num_searches:
        number = len(catalog.relevant)
        text += f"; {number} mode{'' if number == 1 else 's'} in {catalog.num_searches} searches"
        if catalog.new_mode_chance > 0.02:
            text += f", the next one ends in a new mode with {catalog.new_mode_chance:.0%}"
    if started.singular is not None:
        text += f"; the density rises without end, as 1/r^{started.singular[1]:.2f}"
    return text + ("; good enough without training" if started.is_good else "")
