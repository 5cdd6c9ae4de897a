"""Stage: the learner with its first mixture, from a search for modes or from its prior."""

import time

from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.fitting.journal import EvaluationJournal
from gmmvi_ext.fitting.learner import build_learner, set_first_mixture
from gmmvi_ext.fitting.start import Start, find_start, start_from
from gmmvi_ext.inference.gmmvi import GMMVI

__all__ = ["StartStage"]

EVALUATION_SHARE = 0.2  # of `training.max_evaluations`
MAX_EVALUATIONS = 20_000
MAX_COMPONENTS = 10


class StartStage:
    """Builds the learner; searches for its first mixture where the configuration says so.

    Args:
      context: of the fit.

    Attributes:
      start: where the search begins: points, centre and width by dimension.
      learner: before `run`, with the mixture of `model_initialization`.
    """

    def __init__(self, context: FitContext):
        self._context = context
        config = context.config
        given = config.values["model_initialization"]
        self.is_on = config.start.mode != "off"
        self.start: Start | None = None
        if self.is_on:
            self.start = start_from(
                context.shared,
                mean=given["prior_mean"],
                scale=given["prior_scale"],
                seed=config.seed,
            )
        self.learner: GMMVI = build_learner(config, context.shared, self.start)

    def run(self, journal: EvaluationJournal | None = None) -> int:
        """Searches, and gives the learner what was found.

        Args:
          journal: keeps the evaluations of the search on disk.

        Returns:
          evaluations spent.
        """
        config = self._context.config
        budget = config.start.max_evaluations
        if budget is None:
            most = config.training.max_evaluations
            budget = MAX_EVALUATIONS if most is None else EVALUATION_SHARE * most
        limit = config.values["num_component_adapter_config"].get("max_components")
        found = find_start(
            self._context.shared,
            self.start,
            max_components=min(limit or MAX_COMPONENTS, MAX_COMPONENTS),
            budget=budget,
            seed=config.seed,
            journal=journal,
        )
        set_first_mixture(self.learner, found)
        self._context.say(
            f"start: {len(found.log_weights)} components after {found.num_evaluations:,} "
            "evaluations"
        )
        return found.num_evaluations

    def seconds(self, before: float) -> float:
        """Seconds before training, over all sessions; none where nothing was searched for."""
        spent = time.perf_counter() - self._context.begin
        return before + spent if self.is_on else before
