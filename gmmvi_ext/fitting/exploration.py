"""Exploration while a fit trains: proposals of new components where mass is missing.

A converged ELBO does not exclude mass that no component covers, and components that are added at
samples of the mixture do not get there either. So every 40 iterations, and before the fit counts as
converged, new components are proposed where the present ones lead to
(`inference.component_adaptation.extrapolation`). Those that cover missing mass are added at once,
with the weight estimated for them, and train with the others. A round during training takes a tenth
of the evaluations since the one before; a final round, required before the fit may stop, 5 % of
all; either no more than 2000. To a final round belongs an audit (`exploration.audit`): fresh
searches for modes, whose ends join the mixture where it lacks their mass. Where a final round adds
components the fit continues: the stop rule keeps its memory and may request another one 20
iterations later. The audit of the last round, which found nothing to add, is that of the fit.

A training of many components rises slowly for long, below the noise that the stop rule looks past.
So draws at its end say whether plain draws of the mixture will do (an ESS of half of them, with a
margin); where that is within reach the fit gets a second wind: the stop rule begins again. Another
one follows while the ESS has clearly risen.

A density that cannot be normalized has no end of training: rays out of the mixture are followed
once they cost little beside what is spent (`posterior.report.rays`), and again whenever that has
doubled.
"""

import math
import time

import numpy as np
import tensorflow as tf

from gmmvi_ext.config.sections import ExploreSettings
from gmmvi_ext.exploration.audit import NUM_SEARCHES, Audit, audit
from gmmvi_ext.exploration.counted import CountedTarget, OutOfTime
from gmmvi_ext.exploration.starting_points import Start
from gmmvi_ext.fitting.block_convergence import BLOCK, BlockConvergence
from gmmvi_ext.fitting.stages.importance_check import is_good_enough, share_of_draws
from gmmvi_ext.gaussians import (
    DiagonalGaussians,
    FullGaussians,
    LowRankGaussians,
    Mixture,
    sample,
)
from gmmvi_ext.inference.component_adaptation.extrapolation import (
    MIN_WEIGHT,
    propose_components,
)
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.math.blas import one_blas_thread
from gmmvi_ext.math.random import stream
from gmmvi_ext.models.membership import with_new, without_others
from gmmvi_ext.posterior.report.rays import RADII, improper_direction, num_ray_points
from gmmvi_ext.training.stopping import StopReason

__all__ = ["Exploration", "can_explore"]

MAX_DURING, MAX_FINAL = 2, 6  # components added by a round during training, and by a final one
MAX_FINAL_ROUNDS = 10
SHARE_DURING, SHARE_FINAL = 0.1, 0.05  # of the evaluations since the last round, and of all
SHARE_CHECK = 0.25  # of the evaluations since the last check, for a check
MIN_BUDGET = 50  # evaluations: fewer are not worth a round
MIN_AUDIT = 500  # evaluations that an audit may take in any case
RESOLVED, MAX_UNRESOLVED = 4.0, 0.2  # roundings, and the weight of what is narrower
# ESS as a share of the draws: what training is to reach, from where on that is within reach, and
# the rise since the last second wind that is worth another one.
WANTED_ESS, REACH_ESS, RISE_ESS = 0.6, 0.3, 0.05
# Rays: their share of the evaluations before them, growth until the next ones, draws they take.
SHARE_RAYS, RARER, NUM_RAY_DRAWS = 0.03, 2.0, 1000
NUM_TOWARDS = 10  # places that rays are led to: the heaviest components, and where the start was
RAY_RADII, NUM_RANDOM_RAYS = RADII[::2], 8
MIN_SHARE = 5e-4  # of the mass: what a mode has to carry to become a component


def can_explore(values: dict, learner: GMMVI) -> bool:
    """Whether a fit with this configuration may propose new components.

    Not where the number of components was fixed, where an ELBO is no bound of the evidence, where
    no exact values of the target are known, and for low-rank covariances.
    """
    return (
        values["num_component_adapter_type"] == "adaptive"
        and learner.temperature == 1.0
        and learner.target.exact is not None
        and not isinstance(learner.mixture().components, LowRankGaussians)
    )


class Exploration:
    """An observer of the training loop around a `BlockConvergence`.

    Args:
      watch: decides when the ELBO has converged.
      learner: what is trained.
      settings: interval and budget of the rounds.
      max_components: most components of its mixture.
      max_modes: the same for those at modes that an audit finds.
      start: where the target's prior is.
      num_check_samples: draws of the importance check that may end training; None for none.
      max_evaluations: limit of the training; None for none.
      deadline: `time.perf_counter()` at which it has to be over.
      seed: integer.

    Attributes:
      num_evaluations: of the target, in all rounds.
      seconds: of all rounds of this session.
      num_rounds: number of rounds.
      masses: of the added components, as shares of the target when they were added.
      audit: of the last final round, as plain data; None where it added components, and before.
      is_good: whether the mixture has passed the importance check: nothing that follows training
        would better it.
      improper: coordinates along which the density does not fall off; None while none are known.
    """

    def __init__(
        self,
        watch: BlockConvergence,
        learner: GMMVI,
        *,
        max_components: int,
        max_modes: int | None = None,
        start: Start | None = None,
        num_check_samples: int | None = None,
        settings: ExploreSettings | None = None,
        max_evaluations=None,
        deadline: float = math.inf,
        seed: int = 0,
    ):
        self._watch, self._learner = watch, learner
        self._max_components = max_components
        self._max_modes = max(max_modes or 0, max_components)
        self._start = start
        self._num_check_samples = num_check_samples
        self._settings = settings or ExploreSettings(mode="auto")
        self._max_evaluations, self._deadline = max_evaluations, deadline
        self._seed = stream(seed, "exploration")
        self.audit: dict | None = None
        self.is_good = False
        self.improper: str | None = None
        self._counted = CountedTarget(learner.target, deadline=deadline)
        self.seconds = 0.0
        self._last_round_at = self._spent_then = self._checked_then = self._rays_then = 0
        self._num_final_rounds = 0
        self.num_rounds = 0
        self.masses: list[float] = []
        self._winds: list[float] = []  # ESS at every second wind

    @property
    def num_evaluations(self) -> int:
        return self._counted.count

    def summary(self) -> dict:
        """The entry of `run_info`."""
        return {
            "num_rounds": self.num_rounds,
            "num_added_components": len(self.masses),
            "num_evaluations": self.num_evaluations,
        } | ({} if self.improper is None else {"improper": self.improper})

    def __str__(self) -> str:
        rounds = f"{self.num_rounds} round{'s' if self.num_rounds > 1 else ''}"
        text = (
            f"{rounds}, {len(self.masses)} components added, {self.num_evaluations:,} evaluations"
        )
        if self.improper is None:
            return text
        return f"{text}; the log density does not fall off along {self.improper}"

    @one_blas_thread()
    def __call__(self, row: dict) -> StopReason | None:
        reason = self._watch(row)
        self.audit, self.is_good = None, False  # earlier ones were of another mixture
        begin = time.perf_counter()
        try:
            return self._explored(row, reason)
        except OutOfTime:
            self.audit, self.is_good = None, False
            return StopReason.MAX_SECONDS
        finally:
            self.seconds += time.perf_counter() - begin

    def _explored(self, row: dict, reason: StopReason | None) -> StopReason | None:
        """What the rules of exploration make of the watch's answer."""
        if row["iteration"] % BLOCK == 0 and self._is_improper(row):
            return StopReason.NO_IMPROVEMENT
        if not np.isfinite(self._watch.best_elbo) or self._watch.had_relapse:
            return reason
        is_due = row["iteration"] - self._last_round_at >= self._settings.interval
        if reason is None and is_due and self._is_beyond_resolution():
            return StopReason.NO_IMPROVEMENT
        if reason is None and row["iteration"] % BLOCK == 0 and self._is_good_enough(row):
            reason, self.is_good = StopReason.CONVERGED, True
        if reason is StopReason.CONVERGED and self._num_final_rounds < MAX_FINAL_ROUNDS:
            self._num_final_rounds += 1
            spent = self._spent(row)
            has_grown = self._explore(row, SHARE_FINAL * spent, MAX_FINAL)
            least = MIN_AUDIT * self._settings.num_audit_searches / NUM_SEARCHES
            has_grown |= self._search(row, max(SHARE_FINAL * spent, least))
            if not has_grown and not self._has_second_wind(row):
                return reason
            self.audit, self.is_good = None, False
            return None
        if reason is None and is_due:
            self._explore(row, SHARE_DURING * (self._spent(row) - self._spent_then), MAX_DURING)
        return reason

    def rule(self) -> list:
        """Settings of the stop rule, and that it explores."""
        return ["explore", self._watch.rule()]

    def state(self) -> dict:
        """What a checkpoint has to keep, the stop rule included."""
        return {
            "watch": self._watch.state(),
            "num_evaluations": self._counted.count,
            "last_round_at": self._last_round_at,
            "spent_then": self._spent_then,
            "checked_then": self._checked_then,
            "rays_then": self._rays_then,
            "num_final_rounds": self._num_final_rounds,
            "num_rounds": self.num_rounds,
            "masses": self.masses,
            "winds": self._winds,
            "improper": self.improper,
            "audit": self.audit,
            "is_good": self.is_good,
        }

    def restore(self, state: dict) -> None:
        """Takes back what `state` gave."""
        self._watch.restore(state["watch"])
        self._counted.count = state["num_evaluations"]
        self._last_round_at, self._spent_then = state["last_round_at"], state["spent_then"]
        self._checked_then = state["checked_then"]
        self._num_final_rounds, self.num_rounds = state["num_final_rounds"], state["num_rounds"]
        self.masses, self.audit = list(state["masses"]), state["audit"]
        self._winds, self.is_good = list(state["winds"]), state["is_good"]
        self._rays_then = state["rays_then"]
        self.improper = state["improper"] if isinstance(state["improper"], str) else None

    def _is_beyond_resolution(self) -> bool:
        """Whether components narrower than the float format tells places apart are of weight.

        So a fit of a density that rises without end ends.
        """
        mixture = self._learner.mixture()
        loc, spread = mixture.components.loc.numpy(), mixture.components.stddevs().numpy()
        is_narrow = np.any(spread < RESOLVED * np.finfo(spread.dtype).eps * np.abs(loc), axis=1)
        return bool(np.exp(mixture.log_weights.numpy())[is_narrow].sum() > MAX_UNRESOLVED)

    def _is_improper(self, row: dict) -> bool:
        """Whether rays say that the density cannot be normalized."""
        target = self._learner.target
        dim = target.num_dimensions
        count = num_ray_points(dim, RAY_RADII, NUM_RANDOM_RAYS, NUM_TOWARDS)
        spent = self._spent(row)
        if spent < max(RARER * self._rays_then, count / SHARE_RAYS):
            return False
        if self._affordable(row, count) < count:
            return False
        self._rays_then = spent
        self._counted.count += count
        seed = tf.random.fold_in(self._seed, 4000 + row["iteration"])
        mixture = self._learner.mixture()
        self.improper = improper_direction(
            mixture,
            target,
            sample(mixture, NUM_RAY_DRAWS, seed)[0].numpy(),
            target.layout.coordinate_names,
            seed,
            self._towards(mixture),
            radii=RAY_RADII,
            num_random=NUM_RANDOM_RAYS,
        )
        return self.improper is not None

    def _towards(self, mixture: Mixture) -> np.ndarray:
        """Places in directions that training has taken: where nothing ends, it goes on there."""
        heavy = np.argsort(-mixture.log_weights.numpy(), kind="stable")[1:NUM_TOWARDS]
        places = mixture.components.loc.numpy()[heavy]
        return places if self._start is None else np.vstack([places, self._start.mean])

    def _is_good_enough(self, row: dict) -> bool:
        """Whether fresh draws say that training is over: nothing is gained by a better ELBO."""
        count = self._num_check_samples
        if not count or self._affordable(row, count) < count:
            return False
        if self._spent(row) - self._checked_then < count / SHARE_CHECK:
            return False
        self._checked_then = self._spent(row)
        seed = tf.random.fold_in(self._seed, 2000 + row["iteration"])
        mixture = self._learner.mixture()
        return is_good_enough(self._counted, mixture, num_samples=count, seed=seed)

    def _has_second_wind(self, row: dict) -> bool:
        """Whether training goes on because the ESS that is wanted is within reach."""
        count = self._num_check_samples
        if self.is_good or not count or self._affordable(row, count) < count:
            return False
        seed = tf.random.fold_in(self._seed, 3000 + len(self._winds))
        ess = share_of_draws(self._counted, self._learner.mixture(), num_samples=count, seed=seed)
        least = self._winds[-1] + RISE_ESS if self._winds else REACH_ESS
        if not least <= ess < WANTED_ESS:
            return False
        self._winds.append(ess)
        self._watch.begin_again()
        return True

    def _explore(self, row: dict, budget: float, most: int) -> bool:
        """One round; whether components were added."""
        self._last_round_at, self._spent_then = row["iteration"], self._spent(row)
        mixture = self._learner.mixture()
        num_active = int(tf.math.count_nonzero(mixture.log_weights > np.log(MIN_WEIGHT)))
        room = min(self._max_components - num_active, most)
        budget = self._affordable(row, budget)
        if budget < MIN_BUDGET or room < 1:
            return False
        found = propose_components(
            mixture,
            lambda x: self._counted.values(x.numpy()),
            log_evidence=self._watch.best_elbo,
            max_evaluations=budget,
            max_components=room,
            seed=tf.random.fold_in(self._seed, self.num_rounds),
        )
        self.num_rounds += 1
        if found.components is None:
            return False
        self.masses += np.exp(found.components.log_weights).tolist()
        _add(self._learner.model, found.components, self._max_components)
        return True

    def _search(self, row: dict, budget: float) -> bool:
        """An audit; whether it added components."""
        mixture = self._learner.mixture()
        budget = self._affordable(row, budget)
        if self._start is None or budget < MIN_BUDGET:
            return False
        found = audit(
            self._counted,
            mixture,
            self._start,
            num_searches=self._settings.num_audit_searches,
            max_evaluations=budget,
            seed=tf.random.fold_in(self._seed, 1000 + self._num_final_rounds),
        )
        new = _components_of(found, mixture, self._max_modes)
        if new is None:
            self.audit = found.as_dict()
            return False
        self.masses += np.exp(new.log_weights).tolist()
        _add(self._learner.model, new, self._max_modes)
        return True

    def _spent(self, row: dict) -> int:
        """Evaluations so far."""
        return row["num_target_evaluations"] + row.get("num_nonfinite", 0) + self.num_evaluations

    def _affordable(self, row: dict, budget: float) -> int:
        """What the limits leave of it."""
        spent, most = self._spent(row), min(int(budget), self._settings.max_evaluations)
        if self._max_evaluations is not None:
            most = min(most, self._max_evaluations - spent)
        if self._deadline < math.inf:
            left = self._deadline - time.perf_counter()
            seconds = max(row["train_seconds"] + self.seconds, 1e-9)
            most = min(most, int(left * spent / seconds))
        return most


def _components_of(found: Audit, mixture: Mixture, most: int) -> Mixture | None:
    """The modes of an audit that are worth a component, with their shares; None for none."""
    num_active = int(tf.math.count_nonzero(mixture.log_weights > np.log(MIN_WEIGHT)))
    modes = found.modes[: max(most - num_active, 0)]
    if not modes:
        return None
    log_mass = np.array([mode.log_mass for mode in modes]) - found.log_evidence
    log_shares = log_mass - np.logaddexp(0.0, np.logaddexp.reduce(log_mass))
    worth = np.flatnonzero(log_shares > np.log(MIN_SHARE))
    if not len(worth):
        return None
    loc = tf.constant(np.array([modes[i].loc for i in worth]))
    factor = np.array([modes[i].scale_tril for i in worth])
    components: DiagonalGaussians | FullGaussians
    if isinstance(mixture.components, DiagonalGaussians):
        components = DiagonalGaussians(loc, tf.constant(np.sqrt((factor**2).sum(axis=2))))
    else:
        components = FullGaussians(loc, tf.constant(factor))
    return Mixture(tf.constant(log_shares[worth]), components)


def _add(model, proposed: Mixture, most: int) -> None:
    """Adds components; those without weight make room for them where that is needed."""
    mixture, learner = model.mixture(), model.learner()
    count = int(proposed.num_components)
    if int(mixture.num_components) + count > most:
        is_active = mixture.log_weights > np.log(MIN_WEIGHT)
        mixture, learner = without_others(mixture, learner, is_active)
    components = (tf.cast(field, mixture.dtype) for field in proposed.components)
    new = Mixture(
        tf.cast(proposed.log_weights, mixture.dtype), type(mixture.components)(*components)
    )
    fresh = model.fresh_learner_state(count, model.num_ids)
    mixture, learner = with_new(mixture, learner, new, fresh)
    model.num_ids.assign_add(count)
    model.assign(mixture)
    model.assign_learner(learner)
