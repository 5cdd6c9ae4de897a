"""Does the mixture go on where it seems to end? Looks beyond its rim while a fit trains.

An ELBO that stands still says nothing of mass that no component covers, and newcomers that start at
samples of the mixture do not get there either. So every 40 iterations, and before the fit counts as
converged, it looks where its components lead to (`inference.component_adaptation.extrapolation`).
What is found missing joins at once, with the weight that was found for it, and trains with the
others. A look on the way takes a tenth of the evaluations since the one before; a last one, which a
fit that would stop has to pass, 5 % of all; either no more than 2000. Where a last look finds
something the fit goes on: the stop rule keeps its memory and may ask again 20 iterations later.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.config.sections import ExploreSettings
from gmmvi_ext.fitting.block_convergence import BlockConvergence
from gmmvi_ext.fitting.start import Meter
from gmmvi_ext.gaussians import LowRankGaussians, Mixture
from gmmvi_ext.inference.component_adaptation.extrapolation import MIN_WEIGHT, extend
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.inference.membership import with_new, without_others
from gmmvi_ext.math.random import stream
from gmmvi_ext.training.stopping import StopReason

__all__ = ["Exploration", "can_explore"]

MAX_ON_THE_WAY, MAX_AT_LAST = 2, 6  # newcomers of a look
MAX_LAST_LOOKS = 10
SHARE_ON_THE_WAY, SHARE_AT_LAST = 0.1, 0.05  # of the evaluations since the last look, and of all
MIN_BUDGET = 50  # evaluations that are worth a look


def can_explore(values: dict, learner: GMMVI) -> bool:
    """Whether a fit with this configuration may grow beyond its rim.

    Not where the number of components was fixed, where an ELBO is no bound of the evidence, where
    values of the target are noisy, and for low-rank covariances.
    """
    return (
        values["num_component_adapter_type"] == "adaptive"
        and learner.temperature == 1.0
        and not learner.target.is_stochastic
        and not isinstance(learner.mixture().components, LowRankGaussians)
    )


class Exploration:
    """An observer of the training loop around a `BlockConvergence`.

    Args:
      watch: says when the ELBO stands still.
      learner: what is trained.
      settings: how often it looks, and how much it may spend.
      max_components: most components of its mixture.
      max_evaluations, max_seconds: limits of the training; None for none.
      seed: integer.

    Attributes:
      num_evaluations: of the target, by all looks.
      num_looks: how many there were.
      masses: of the components that joined, as shares of the target when they did.
    """

    def __init__(
        self,
        watch: BlockConvergence,
        learner: GMMVI,
        *,
        max_components: int,
        settings: ExploreSettings | None = None,
        max_evaluations=None,
        max_seconds=None,
        seed: int = 0,
    ):
        self._watch, self._learner = watch, learner
        self._max_components = max_components
        self._settings = settings or ExploreSettings(mode="auto")
        self._max_evaluations, self._max_seconds = max_evaluations, max_seconds
        self._seed = stream(seed, "exploration")
        self._meter = Meter(learner.target)
        self._looked_at = self._spent_then = self._num_last_looks = 0
        self.num_looks = 0
        self.masses: list[float] = []

    @property
    def num_evaluations(self) -> int:
        return self._meter.count

    def told(self) -> dict:
        """What `run_info` tells."""
        return {
            "num_rounds": self.num_looks,
            "num_added_components": len(self.masses),
            "num_evaluations": self.num_evaluations,
        }

    def __str__(self) -> str:
        rounds = f"{self.num_looks} round{'s' if self.num_looks > 1 else ''}"
        return (
            f"{rounds}, {len(self.masses)} components added, {self.num_evaluations:,} evaluations"
        )

    def __call__(self, row: dict) -> StopReason | None:
        reason = self._watch(row)
        if not np.isfinite(self._watch.best_elbo) or self._watch.had_relapse:
            return reason
        if reason is StopReason.CONVERGED and self._num_last_looks < MAX_LAST_LOOKS:
            self._num_last_looks += 1
            budget = SHARE_AT_LAST * self._spent(row)
            return None if self._has_grown(row, budget, MAX_AT_LAST) else reason
        if reason is None and row["iteration"] - self._looked_at >= self._settings.interval:
            self._has_grown(
                row, SHARE_ON_THE_WAY * (self._spent(row) - self._spent_then), MAX_ON_THE_WAY
            )
        return reason

    def rule(self) -> list:
        """Settings of what it watches, and whether it looks beyond."""
        return ["explore", self._watch.rule()]

    def state(self) -> dict:
        """What a checkpoint has to keep, what it watches included."""
        return {
            "watch": self._watch.state(),
            "num_evaluations": self._meter.count,
            "looked_at": self._looked_at,
            "spent_then": self._spent_then,
            "num_last_looks": self._num_last_looks,
            "num_looks": self.num_looks,
            "masses": self.masses,
        }

    def restore(self, state: dict) -> None:
        """Takes back what `state` gave."""
        self._watch.restore(state["watch"])
        self._meter.count = state["num_evaluations"]
        self._looked_at, self._spent_then = state["looked_at"], state["spent_then"]
        self._num_last_looks, self.num_looks = state["num_last_looks"], state["num_looks"]
        self.masses = list(state["masses"])

    def _has_grown(self, row: dict, budget: float, most: int) -> bool:
        """A look, and whether components joined."""
        self._looked_at, self._spent_then = row["iteration"], self._spent(row)
        mixture = self._learner.mixture()
        num_active = int(tf.math.count_nonzero(mixture.log_weights > np.log(MIN_WEIGHT)))
        room = min(self._max_components - num_active, most)
        budget = self._affordable(row, budget)
        if budget < MIN_BUDGET or room < 1:
            return False
        found = extend(
            mixture,
            lambda x: self._meter.values(x.numpy()),
            log_evidence=self._watch.best_elbo,
            max_evaluations=budget,
            max_newcomers=room,
            seed=tf.random.fold_in(self._seed, self.num_looks),
        )
        self.num_looks += 1
        if found.newcomers is None:
            return False
        self.masses += np.exp(found.newcomers.log_weights).tolist()
        _join(self._learner.model, found.newcomers, self._max_components)
        return True

    def _spent(self, row: dict) -> int:
        """Evaluations so far."""
        return row["num_target_evaluations"] + row.get("num_nonfinite", 0) + self.num_evaluations

    def _affordable(self, row: dict, budget: float) -> int:
        """What the limits leave of it."""
        spent, budget = self._spent(row), min(int(budget), self._settings.max_evaluations)
        if self._max_evaluations is not None:
            budget = min(budget, self._max_evaluations - spent)
        if self._max_seconds is not None:
            left = self._max_seconds - row["train_seconds"]
            budget = min(budget, int(left * spent / max(row["train_seconds"], 1e-9)))
        return budget


def _join(model, newcomers: Mixture, most: int) -> None:
    """Newcomers join; components without weight make room for them where that is needed."""
    mixture, learner = model.mixture(), model.learner()
    count = int(newcomers.num_components)
    if int(mixture.num_components) + count > most:
        is_active = mixture.log_weights > np.log(MIN_WEIGHT)
        mixture, learner = without_others(mixture, learner, is_active)
    components = (tf.cast(field, mixture.dtype) for field in newcomers.components)
    new = Mixture(
        tf.cast(newcomers.log_weights, mixture.dtype), type(mixture.components)(*components)
    )
    fresh = model.fresh_learner_state(count, model.num_ids)
    mixture, learner = with_new(mixture, learner, new, fresh)
    model.num_ids.assign_add(count)
    model.assign(mixture)
    model.assign_learner(learner)
