"""The training loop: step, count, check, save, stop.

The loop knows an algorithm only as something with `step()` and three counters, perhaps with
`steps()` that goes on to the next event in one call. Everything else is handed in: what to evaluate
for a row of metrics, where rows go, where checkpoints go, when to stop. Stopping at a limit, by
convergence or by a signal all end the same way: a last row, a checkpoint, and a result with the
reason.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat

from gmmvi_ext.ranges import Count, checked
from gmmvi_ext.training.alarms import SCALE_ADVICE, Alarm
from gmmvi_ext.training.algorithm import Algorithm
from gmmvi_ext.training.host_state import restore_state
from gmmvi_ext.training.interrupt import InterruptFlag
from gmmvi_ext.training.patience import Patience
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.stopping import Convergence, Limits, StopReason
from gmmvi_ext.training.writers import MetricWriter

__all__ = ["Clock", "TrainingResult", "is_on_grid", "train"]

MAX_CALL_SECONDS = 0.1  # of iterations in one call: the delay of signals and of the progress bar
_MAX_CALL_ITERATIONS = 1000
_OWN_ENDS = (StopReason.CONVERGED, StopReason.NO_IMPROVEMENT)  # of the stop rules
MAX_RAISED = 6  # first iterations in which a target that raises gets another chance


@dataclasses.dataclass
class Clock:
    """Seconds spent so far, over all sessions.

    Attributes:
      train: inside steps, tracing included.
      start: before the first step: looking at the target, searching for a start.
      trace: the part of `train` that went into tracing.
      evaluate: on rows of metrics.
      save: on checkpoints.
    """

    train: float = 0.0
    start: float = 0.0
    trace: float = 0.0
    evaluate: float = 0.0
    save: float = 0.0


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
      stop_reason: why.
      iterations: steps taken, over all sessions.
      num_target_evaluations: valid evaluations of the target.
      num_nonfinite: evaluations without a finite value.
      clock: seconds.
      last_row: the last row of metrics; empty if no step was taken.
      problem: what went wrong, for reasons that are failures.

    Example:
        >>> from gmmvi_ext.training import Limits, train
        >>> class Halving(tf.Module):
        ...     num_target_evaluations = num_nonfinite = num_iterations = 0
        ...     def step(self):
        ...         self.num_iterations += 1
        ...         return {"num_components": 1}
        >>> result = train(Halving(), limits=Limits(num_iterations=3))
        >>> result.iterations, result.stop_reason.value, result.problem
        (3, 'num_iterations', None)
    """

    stop_reason: StopReason
    iterations: int
    num_target_evaluations: int
    num_nonfinite: int
    clock: Clock
    last_row: dict
    problem: str | None = None


def is_on_grid(iteration: int, log_interval: int) -> bool:
    """Whether a run that goes on writes a row after this iteration."""
    return iteration == 1 or iteration % log_interval == 0


@checked
def train(
    algorithm: Algorithm,
    *,
    limits: Limits | None = None,
    log_interval: Count | None = 50,
    evaluate: Callable[[int], dict] | None = None,
    writers: Sequence[MetricWriter] = (),
    observers: Mapping[str, Callable[[dict], StopReason | None]] | None = None,
    convergence: Convergence | Patience | None = None,
    checkpoints: Any = None,
    checkpoint_interval: Count = 500,
    progress: ProgressDisplay | None = None,
    host_state: dict | None = None,
    agreed: Callable[[list[int]], Sequence[int]] | None = None,
    watchdog: Any = None,
    watch_interval: Count | None = None,
) -> TrainingResult:
    """Steps until a limit, a stop rule or a signal says stop.

    Args:
      algorithm: what is trained; goes on from where its variables are.
      limits: budgets over all sessions.
      log_interval: iterations between two rows of metrics; None writes none.
      evaluate: figures of a row beside the algorithm's own, from the iteration.
      writers: take the rows; one that fails with an `OSError` ends the run after a checkpoint.
      observers: by name, called after every iteration with its own figures (`iteration`,
        `num_target_evaluations`, `train_seconds`, `elbo` and the algorithm's scalars); a
        `StopReason` ends the run. What has `state()` and `restore(state)` (plain data) is kept in
        checkpoints under its name.
      convergence: stop rule over the rows; its state is kept in checkpoints.
      checkpoints: `Checkpoints`, or anything with `save(iteration, host_state)`; None for none.
      checkpoint_interval: iterations between two of them.
      progress: display.
      host_state: what `Checkpoints.restore` returned; keys of other owners are kept as they are.
      agreed: sums a vector of counts over all processes that run the algorithm together, so that
        they stop at the same iteration although their clocks and signals differ.
      watchdog: checks the state before every checkpoint and as often as `watch_interval` says; an
        alarm ends the run as diverged. Its `judge` gets the ELBO and the evaluations.
      watch_interval: iterations between two checks, with the algorithm's own ELBO estimate; None
        checks with every row, at the row's ELBO.

    Returns:
      a `TrainingResult`; SIGINT and SIGTERM end in one as well.

    Example:
        >>> from gmmvi_ext.training import Limits, train
        >>> class Halving(tf.Module):
        ...     num_target_evaluations = num_nonfinite = num_iterations = 0
        ...     def step(self):
        ...         self.num_iterations += 1
        ...         return {"num_components": 1, "elbo": -(0.5**self.num_iterations)}
        >>> result = train(Halving(), limits=Limits(num_iterations=4), log_interval=2)
        >>> result.stop_reason.value, result.last_row["elbo"]
        ('num_iterations', -0.0625)
    """
    session = _Session(
        algorithm=algorithm,
        limits=limits or Limits(),
        log_interval=log_interval,
        evaluate=evaluate,
        writers=writers,
        observers=dict(observers or {}),
        convergence=convergence,
        checkpoints=checkpoints,
        checkpoint_interval=checkpoint_interval,
        progress=progress or ProgressDisplay(False),
        host_state=dict(host_state or {}),
        agreed=agreed,
        watchdog=watchdog,
        watch_interval=watch_interval,
    )
    with InterruptFlag() as interrupted, session.progress:
        return session.run(interrupted)


@dataclasses.dataclass(kw_only=True)
class _Session:
    """State of one call of `train`."""

    algorithm: Algorithm
    limits: Limits
    log_interval: int | None
    evaluate: Callable[[int], dict] | None
    writers: Sequence[MetricWriter]
    observers: dict[str, Callable[[dict], StopReason | None]]
    convergence: Convergence | Patience | None
    checkpoints: Any
    checkpoint_interval: int
    progress: ProgressDisplay
    host_state: dict
    agreed: Callable[[list[int]], Sequence[int]] | None
    watchdog: Any  # checks the state when called; has `judge(elbo, num_evaluations)`
    watch_interval: int | None
    row: dict = dataclasses.field(default_factory=dict)  # the newest one
    problem: str | None = None
    alarm: Alarm | None = None

    def __post_init__(self):
        self.clock = Clock(**self.host_state.get("clock", {}))
        for name, each in self._stateful():
            if name in self.host_state:
                restore_state(name, each, self.host_state[name])
        self.iteration = int(self.algorithm.num_iterations)
        self.evaluations = int(self.algorithm.num_target_evaluations)
        self.looked_at = self.good_at = self.iteration
        self.saved_at: int | None = self.iteration if self.host_state else None
        self._is_first_step = True
        self._traced_seconds: float | None = None
        # One process could go further in the same time than another, and observers see everything.
        is_single = self.agreed is not None or bool(self.observers)
        self._steps = None if is_single else getattr(self.algorithm, "steps", None)
        self._seconds_per_step: float | None = None  # once a step took place without tracing

    def _stateful(self) -> list[tuple[str, Any]]:
        """Whose state goes into checkpoints, by name."""
        owners = {"convergence": self.convergence, "watchdog": self.watchdog, **self.observers}
        return [(name, each) for name, each in owners.items() if hasattr(each, "restore")]

    def run(self, interrupted: InterruptFlag) -> TrainingResult:
        reason = self._common(self._earlier_end() or self._limit() or self._spent_before())
        metrics: Mapping[str, SupportsFloat] = {}
        while reason is None:
            metrics = self._advance(self._num_due())
            own = self._own_figures(metrics)
            self._check_health(own["elbo"])
            if self._is_row():
                self._write_row(own)
                reason = self._judge_row()
            reason = self._observed(own) or reason
            if self.iteration % self.checkpoint_interval == 0 and reason is None:
                reason = self._save()
            reason = (
                reason
                or self._nothing_finite()
                or (StopReason.INTERRUPTED if interrupted else None)
                or self._limit()
            )
            reason = self._common(reason)
            self._show(metrics)
        self._finish_tracing()
        if metrics:
            self._look()
            self.row = self.row if self.log_interval else own
        if metrics and self.row.get("iteration") != self.iteration:
            self._write_row(own)
        if self.alarm is not None or "problem" in self.row:
            reason = StopReason.DIVERGED
            self.problem = self.problem or self._describe(self.row["problem"])
        if reason.is_failure and self.problem is None:
            self.problem = f"another worker ended the run ({reason})"
        # A mixture that is not finite is no state to go on from: the checkpoint before it stays.
        if not reason.is_failure and metrics and self.saved_at != self.iteration:
            reason = self._save(reason) or reason
        return TrainingResult(
            reason,
            self.iteration,
            self.evaluations,
            int(self.algorithm.num_nonfinite),
            self.clock,
            self.row,
            self.problem,
        )

    def _earlier_end(self) -> StopReason | None:
        """Why an earlier session ended by itself, where the rules that ended it are the same."""
        ended = self.host_state.get("ended")
        if not isinstance(ended, dict) or ended.get("rules") != self._rules():
            return None
        return next((each for each in _OWN_ENDS if str(each) == ended.get("stop_reason")), None)

    def _spent_before(self) -> StopReason | None:
        """What observers that count say of where an earlier session has ended."""
        lost = int(self.algorithm.num_nonfinite)
        asked = [getattr(each, "before", None) for each in self.observers.values()]
        found = [each(self.evaluations, lost) for each in asked if each is not None]
        return next((each for each in found if each is not None), None)

    def _rules(self) -> dict:
        """Settings of the stop rules, as plain data."""
        return {name: each.rule() for name, each in self._stateful() if hasattr(each, "rule")}

    def _limit(self) -> StopReason | None:
        return self.limits.reached(self.iteration, self.evaluations, self.clock.train)

    def _is_row(self) -> bool:
        interval = self.log_interval or 0
        return interval > 0 and is_on_grid(self.iteration, interval)

    def _observed(self, own: dict) -> StopReason | None:
        """What the observers say of an iteration."""
        if self.alarm is not None:
            return StopReason.DIVERGED
        verdicts = [observer(own) for observer in self.observers.values()]
        return next((verdict for verdict in verdicts if verdict is not None), None)

    def _num_due(self) -> int:
        """Iterations that can go into one call: nothing else is due before their end."""
        # What stops a run without a finite value looks at every iteration.
        if self._steps is None or self._seconds_per_step is None or self.evaluations == 0:
            return 1
        seconds, due = MAX_CALL_SECONDS, [_MAX_CALL_ITERATIONS]
        due += [
            each - self.iteration % each
            for each in (self.log_interval, self.watch_interval)
            if each
        ]
        if self.checkpoints is not None:
            due.append(self.checkpoint_interval - self.iteration % self.checkpoint_interval)
        if self.limits.num_iterations is not None:
            due.append(self.limits.num_iterations - self.iteration)
        if self.limits.max_seconds is not None:
            seconds = min(seconds, self.limits.max_seconds - self.clock.train)
        return max(1, min(*due, int(seconds / self._seconds_per_step)))

    def _advance(self, num_iterations: int) -> Mapping[str, SupportsFloat]:
        traces = getattr(self.algorithm, "num_traces", None)
        start = time.perf_counter()
        if num_iterations == 1:
            metrics = self.algorithm.step()
        else:
            metrics = self._steps(num_iterations, self.limits.max_evaluations)
            num_iterations = int(self.algorithm.num_iterations) - self.iteration
        # Reading a result waits for the device, so that the clock sees the whole step.
        counted = int(float(metrics.get("num_target_evaluations", 0)))
        self.evaluations = counted or int(self.algorithm.num_target_evaluations)
        seconds = time.perf_counter() - start
        self.iteration += num_iterations
        self.clock.train += seconds
        was_traced = traces != getattr(self.algorithm, "num_traces", None)
        if traces is None:
            was_traced = self._is_first_step
        if was_traced:
            self._finish_tracing()
            self._traced_seconds, self._seconds_per_step = seconds, None
        else:
            self._seconds_per_step = seconds / num_iterations
            if self._traced_seconds is not None:
                # Of a step with tracing, what exceeds the next step is tracing.
                self.clock.trace += max(0.0, self._traced_seconds - seconds)
                self._traced_seconds = None
        self._is_first_step = False
        return metrics

    def _finish_tracing(self) -> None:
        self.clock.trace += self._traced_seconds or 0.0
        self._traced_seconds = None

    def _own_figures(self, metrics: Mapping[str, SupportsFloat]) -> dict:
        """The figures that an iteration itself gives."""
        figures = {name: _number(value) for name, value in metrics.items()}
        own = {
            "iteration": self.iteration,
            "num_target_evaluations": self.evaluations,
            "train_seconds": round(self.clock.train, 4),
            "elbo": figures.get("elbo_estimate"),
        }
        return own | figures

    def _check_health(self, elbo: float | None) -> None:
        """A check of state and estimate, if one is due between the rows."""
        interval = self.watch_interval
        if interval is None or not (self.iteration == 1 or self.iteration % interval == 0):
            return
        self._look()
        self._judge_elbo(elbo)

    def _judge_elbo(self, elbo: float | None) -> None:
        if self.alarm is None and self.watchdog is not None:
            self._raise(self.watchdog.judge(elbo, self.evaluations))

    def _write_row(self, own: dict) -> None:
        start = time.perf_counter()
        row = dict(own)
        if self.watch_interval is None:
            self._look()
        if self.alarm is None and self.evaluate is not None:
            row |= self.evaluate(self.iteration)
        if self.watch_interval is None:
            self._judge_elbo(row.get("elbo"))
        if self.alarm is not None:
            row |= {"problem": str(self.alarm), "elbo": math.nan}
        self.row = row
        for writer in self.writers:
            writer.write(row)
        self.clock.evaluate += time.perf_counter() - start

    def _judge_row(self) -> StopReason | None:
        if "problem" in self.row:
            self.problem = self.problem or self._describe(self.row["problem"])
            return StopReason.DIVERGED
        return None if self.convergence is None else self.convergence(self.row)

    def _look(self) -> None:
        """The watchdog's check of the state after this iteration."""
        if self.watchdog is None or self.looked_at == self.iteration:
            return
        self.looked_at = self.iteration
        self._raise(self.watchdog())
        if self.alarm is None:
            self.good_at = self.iteration

    def _raise(self, alarm: Alarm | None) -> None:
        if alarm is not None:
            self.alarm, self.problem = alarm, self._describe(str(alarm), alarm.advice)

    def _describe(self, quantity: str, advice: str = SCALE_ADVICE) -> str:
        text = f"{quantity} is not finite after iteration {self.iteration}"
        if self.watchdog is not None and self.good_at < self.iteration:
            text += f" (the mixture was after iteration {self.good_at})"
        if self.checkpoints is not None and self.saved_at is not None:
            text += f"; the checkpoint of iteration {self.saved_at} is kept"
        return f"{text}. Diagnosis: {advice}."

    def _common(self, reason: StopReason | None) -> StopReason | None:
        """The reason of whichever process has one."""
        if self.agreed is None:
            return reason
        reasons = list(StopReason)
        counts = self.agreed([int(each is reason) for each in reasons])
        return next((each for each, n in zip(reasons, counts, strict=True) if n), None)

    def _nothing_finite(self) -> StopReason | None:
        nonfinite = 0 if self.evaluations else int(self.algorithm.num_nonfinite)
        if nonfinite == 0:
            return None
        # A function that raises may only have failed for the moment.
        target = getattr(self.algorithm, "target", None)
        if target is not None and target.num_exceptions and self.iteration < MAX_RAISED:
            return None
        self.problem = (
            f"the target gave no finite value at the first {nonfinite} points; check its domain, "
            "or start where it is finite (model_initialization.prior_mean, prior_scale)."
        )
        return StopReason.NO_FINITE_VALUE

    def _save(self, ended: StopReason | None = None) -> StopReason | None:
        """Writes a checkpoint, unless the state is one to stop at.

        Args:
          ended: why training is over, where it is.
        """
        if self.checkpoints is None:
            return None
        self._look()
        if self.alarm is not None:
            return StopReason.DIVERGED
        start = time.perf_counter()
        state = {
            **self.host_state,
            "clock": dataclasses.asdict(self.clock),
            **{name: each.state() for name, each in self._stateful()},
        }
        state.pop("ended", None)
        if ended in _OWN_ENDS:
            state["ended"] = {"stop_reason": str(ended), "rules": self._rules()}
        self.checkpoints.save(self.iteration, state)
        self.saved_at = self.iteration
        self.clock.save += time.perf_counter() - start
        return None

    def _show(self, metrics: Mapping[str, SupportsFloat]) -> None:
        if not self.progress.is_shown:
            return
        elbo = self.row.get("elbo")
        self.progress.update(
            self.iteration,
            self.evaluations,
            self.limits.fraction(self.iteration, self.evaluations, self.clock.train),
            metrics.get("num_components", 0),
            elbo if elbo is not None and math.isfinite(elbo) else None,
        )


def _number(value):
    number = float(value)
    is_count = getattr(getattr(value, "dtype", None), "is_integer", isinstance(value, int))
    return int(number) if is_count and math.isfinite(number) else number
