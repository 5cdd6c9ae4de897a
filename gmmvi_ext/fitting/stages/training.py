"""Stage: training, with exploration where the configuration asks for it."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence

from gmmvi_ext.config.auto import MAX_COMPONENTS_KEY
from gmmvi_ext.exploration.starting_points import Start
from gmmvi_ext.fitting import contention
from gmmvi_ext.fitting.block_convergence import BLOCK, BlockConvergence
from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.fitting.exploration import Exploration, can_explore
from gmmvi_ext.fitting.health import Watchdog
from gmmvi_ext.fitting.mixture_state import MixtureState
from gmmvi_ext.fitting.stages.best_mixture import elbo_of, num_deciding
from gmmvi_ext.fitting.stages.importance_check import num_check_samples
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.training.checkpoints import Checkpoints
from gmmvi_ext.training.loop import TrainingResult, train
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.stopping import Convergence, Limits, StopReason
from gmmvi_ext.training.writers import MetricWriter

__all__ = ["TrainingStage", "training_limits"]

MAX_MODES = 150  # components that exploration may take a mixture to, where nobody has said how many
TOO_MANY, MAX_HOPELESS = 500.0, 60  # modes, and iterations where they are more
AUDIT_SHARE, MAX_AUDIT = 0.05, 600  # of `training.max_evaluations`, left for an audit
NUM_JUDGED = 500  # draws with exact values that judge a mixture, where the training's are noisy
MAX_RESERVE = 200  # evaluations before the limit at which no iteration begins any more
TRACING_SECONDS = 8.0  # of work that a first iteration may take: with less time there is none
MAX_SLOWDOWN = 10.0  # of what is done while others use the machine, too, that is allowed for
TRAINING_SECONDS = 0.9  # share of `training.max_seconds` at whose end training is over


def training_limits(context: FitContext, seconds: float, started: Mapping) -> Limits:
    """What the limits of the configuration leave for training.

    Args:
      context: of the fit.
      seconds: before training.
      started: what came before (`Started.as_dict`). Where searches have found many hundreds of
        modes, and most find new ones, no mixture will do and training soon ends; where the density
        cannot be normalized there is none.
    """
    training = context.config.training
    iterations, spent = training.num_iterations, started["num_evaluations"]
    modes = started.get("modes")
    if "singular" in started:
        iterations = 0
    elif modes and modes["estimated_number"] > TOO_MANY and modes["new_mode_chance"] > 0.5:
        iterations = min(iterations or MAX_HOPELESS, MAX_HOPELESS)
    most = training.max_evaluations
    if most is not None and context.config.explore.mode != "off":
        spent += int(min(AUDIT_SHARE * most, MAX_AUDIT))
    if most is not None and context.target.is_stochastic and training.keep_best:
        spent += 2 * num_deciding(context)
    return Limits(
        iterations,
        _left(most, spent),
        _left(training.max_seconds, seconds),
    )


def _left(limit, spent):
    return None if limit is None else max(limit - spent, 0)


@dataclasses.dataclass
class TrainingStage:
    """Trains a learner until a limit, a stop rule or a signal ends it.

    Attributes:
      context: of the fit.
      learner: what is trained, in place.
      limits: of training alone.
      kept: takes the mixture of the best block; None with the stop rule rows.
      start: where the target's prior is; None searches for no modes while training.
      is_passed: whether the importance check has passed the mixture.
      callbacks: called with the figures of every iteration; true ends the training.
    """

    context: FitContext
    learner: GMMVI
    limits: Limits
    kept: MixtureState | None = None
    start: Start | None = None
    is_passed: bool = False
    callbacks: Sequence[Callable[[dict], object]] = ()

    def __post_init__(self):
        settings = self.context.config.training
        rule = None
        self.blocks: BlockConvergence | None = None
        self.exploration: Exploration | None = None
        self._convergence: Convergence | None = None
        if settings.stop_rule == "rows":
            if settings.stop_when_converged:
                self._convergence = Convergence(
                    settings.convergence_window, settings.convergence_tolerance
                )
            return
        if settings.stop_when_converged:
            num_blocks = max(2, settings.convergence_window // BLOCK)
            rule = Convergence(num_blocks, settings.convergence_tolerance)
        dim = self.learner.target.num_dimensions
        judge = None
        if self.learner.target.is_stochastic and self.learner.target.exact is not None:
            judge = functools.partial(elbo_of, self.context, num_samples=self._num_judged)
        self.blocks = BlockConvergence(self.learner.mixture, self.kept, dim, rule, judge)
        self.exploration = self._exploration()

    def run(
        self,
        *,
        evaluate: Callable[[int], dict] | None = None,
        writers: Sequence[MetricWriter] = (),
        observers: dict[str, Callable] | None = None,
        checkpoints: Checkpoints | None = None,
        host_state: dict | None = None,
        progress: ProgressDisplay | None = None,
    ) -> TrainingResult:
        """Trains; the arguments are those of `training.loop.train`.

        A first mixture that is good enough (`is_passed`) has converged without an iteration.
        """
        config, parallel = self.context.config, self.context.parallel
        limits = self.limits
        seconds = self.deadline - time.perf_counter()
        least = 0.0
        if seconds < math.inf and not self.learner.is_traced:
            least = TRACING_SECONDS * min(contention.slowdown(), MAX_SLOWDOWN)
        if seconds <= least:
            limits = dataclasses.replace(limits, max_seconds=0.0)
        if limits.max_evaluations is not None and self.context.counts_everything:
            # The iteration that reaches the limit is the last: it should not go far beyond it.
            count = self.learner.rules.sample_selector.desired_samples_per_component
            most = limits.max_evaluations - min(count - 1, MAX_RESERVE)
            needed = count * int(self.learner.mixture().num_components)
            if limits.max_evaluations < needed and int(self.learner.num_iterations) == 0:
                most = 0
            limits = dataclasses.replace(limits, max_evaluations=most)
        if self.is_passed:
            limits = dataclasses.replace(limits, num_iterations=0)
        watching: dict[str, Callable] = {}
        if self.blocks is not None:
            watching["blocks"] = self.exploration or self.blocks
        if self.context.counts_everything:
            watching["budget"] = _Budget(self)
        if self.callbacks:
            watching["callbacks"] = self._called
        watching |= observers or {}
        self.learner.expected_iterations = None if watching else self._num_expected(limits)
        result = train(
            self.learner,
            limits=limits,
            log_interval=config.log_interval if writers else None if self.blocks else 50,
            evaluate=evaluate,
            writers=writers,
            observers=watching,
            convergence=self._convergence,
            checkpoints=checkpoints,
            checkpoint_interval=config.training.checkpoint_interval,
            progress=progress,
            host_state=host_state,
            agreed=parallel.agreed if self.context.is_multi_worker else None,
            watchdog=Watchdog(self.learner.model),
            watch_interval=BLOCK if self.blocks else None,
        )
        if self.is_passed:
            result = dataclasses.replace(result, stop_reason=StopReason.CONVERGED)
        return result

    def _num_expected(self, limits: Limits) -> int | None:
        """Iterations that the limits leave; None where anything else may end them."""
        others = self._convergence is not None, limits.max_seconds is not None
        if any(others) or self.context.is_multi_worker:
            return None
        learner, most = self.learner, []
        if limits.num_iterations is not None:
            most.append(limits.num_iterations - int(learner.num_iterations))
        if limits.max_evaluations is not None:
            count = learner.rules.sample_selector.desired_samples_per_component
            count *= int(learner.mixture().num_components)
            most.append((limits.max_evaluations - int(learner.num_target_evaluations)) // count)
        return min(most, default=None)

    @property
    def num_exploration_evaluations(self) -> int:
        """Evaluations of the target by exploration, over all sessions."""
        return 0 if self.exploration is None else self.exploration.num_evaluations

    @property
    def num_judging_evaluations(self) -> int:
        """Exact evaluations of a noisy target that judged mixtures, over all sessions."""
        return 0 if self.blocks is None else self._num_judged * self.blocks.num_judgments

    @property
    def _num_judged(self) -> int:
        return min(NUM_JUDGED, num_deciding(self.context))

    def _exploration(self) -> Exploration | None:
        config = self.context.config
        if self.blocks is None or config.explore.mode == "off":
            return None
        if not can_explore(config.values, self.learner):
            return None
        adapter = config.values["num_component_adapter_config"]
        is_given = any(
            config.written(key) for key in (MAX_COMPONENTS_KEY, "explore.max_components")
        )
        return Exploration(
            self.blocks,
            self.learner,
            settings=config.explore,
            max_components=config.explore.max_components or adapter["max_components"],
            max_modes=None if is_given else MAX_MODES,
            start=self.start,
            num_check_samples=2 * num_check_samples(config, self.learner.target.num_dimensions)
            if config.importance_check.mode != "off"
            else None,
            max_evaluations=self.limits.max_evaluations,
            deadline=self.deadline,
            seed=config.seed,
        )

    @property
    def deadline(self) -> float:
        """When training has to be over; an audit needs some time, too."""
        share = 1.0 if self.context.config.explore.mode == "off" else TRAINING_SECONDS
        return self.context.deadline(share)

    def _called(self, row: dict) -> StopReason | None:
        is_over = any([callback(row) for callback in self.callbacks])
        return StopReason.INTERRUPTED if is_over else None


class _Budget:
    """An observer of the loop, which counts finite values and seconds of steps alone.

    Who pays, pays for all of them.
    """

    def __init__(self, stage: TrainingStage):
        self._stage = stage

    def __call__(self, row: dict) -> StopReason | None:
        if time.perf_counter() >= self._stage.deadline:
            return StopReason.MAX_SECONDS
        return self.before(row["num_target_evaluations"], row.get("num_nonfinite", 0))

    def before(self, num_evaluations: int, num_nonfinite: int) -> StopReason | None:
        """What the limit says after so many evaluations by iterations."""
        stage = self._stage
        spent = num_evaluations + num_nonfinite
        spent += stage.num_exploration_evaluations + stage.num_judging_evaluations
        most = stage.limits.max_evaluations
        return StopReason.MAX_EVALUATIONS if most is not None and spent >= most else None
