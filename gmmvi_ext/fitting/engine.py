"""The stages of a fit, in order; `gmmvi_ext.fit`, `gmmvi-ext run` and trials of sweeps run these.

    check target -> start -> importance check -> coordinates -> train <-> explore -> best mixture
                 -> component weights -> population Monte Carlo -> audit

A stage beyond the reference is off unless the configuration asks for it: `start`,
`importance_check`, `coordinates`, `explore` (with the audit), `component_weights`,
`population_monte_carlo`, `training.stop_rule`, `training.keep_best`; `algorithm: auto` asks for all
but population Monte Carlo. A first mixture that passes importance check and audit is not trained.

What a stage knows is numbers. In a work directory the learner, the best mixture and the state of
the stop rules are in every checkpoint, evaluations of a search in its journal, and what the stages
after training made in `final.npz`: a fit that was killed at any moment goes on bit for bit.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from gmmvi_ext.config.rules import needs_gradient
from gmmvi_ext.fitting.context import FitContext, FitError, exception_text
from gmmvi_ext.fitting.evaluation import ElboEvaluator
from gmmvi_ext.fitting.mixture_state import MixtureState
from gmmvi_ext.fitting.stages.audit import audited
from gmmvi_ext.fitting.stages.best_mixture import best_mixture, without_negligible
from gmmvi_ext.fitting.stages.corrections import (
    reweighted_components,
    with_population_monte_carlo,
)
from gmmvi_ext.fitting.stages.start import Started, StartStage
from gmmvi_ext.fitting.stages.training import TrainingStage, training_limits
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets.checks import check_target, check_target_at
from gmmvi_ext.training.loop import TrainingResult
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.stopping import StopReason

__all__ = ["Fitted", "run_stages"]

MAX_LOST = 0.01  # share of evaluations without a finite value that an ELBO may keep quiet about

NUMERICS_CHECKED = (
    "`tf.debugging.enable_check_numerics()` is on, and NaN marks what a fit does not know yet: "
    "call `tf.debugging.disable_check_numerics()` before. Values and gradients of the target that "
    "are not finite are counted and named without it."
)


class Fitted(NamedTuple):
    """What a fit ends with.

    Attributes:
      posterior: with `run_info`.
      result: of the training.
      is_from_file: whether all of it was read from a finished run.
    """

    posterior: Posterior
    result: TrainingResult
    is_from_file: bool = False


def run_stages(
    context: FitContext,
    files=None,
    *,
    callbacks: Sequence[Callable[[dict], object]] = (),
    progress: ProgressDisplay | None = None,
) -> Fitted:
    """Runs what the configuration asks for.

    Args:
      context: of the fit.
      files: `gmmvi_ext.fitting.run_files.RunFiles`, which keeps checkpoints and metrics in a work
        directory; None keeps nothing.
      callbacks: called with the figures of every iteration; true ends the training.
      progress: display.

    Raises:
      TargetError: the target cannot be fitted as it is.
      FitError: the fit ended without a usable mixture.
    """
    _refuse_checked_numerics()
    config = context.config
    if config.coordinates.mode != "identity":
        context = context.with_coordinates()
    start = StartStage(context)
    _check_target(context, start)
    learner = start.learner
    kept = MixtureState(learner.mixture()) if config.training.stop_rule == "blocks" else None
    state = files.open(learner, kept) if files is not None else {}
    earlier = sum(each for name, each in state.get("clock", {}).items() if name != "trace")
    context = dataclasses.replace(context, earlier_seconds=earlier)
    _start(start, state, files, kept)
    stage = TrainingStage(
        context,
        learner,
        training_limits(context, state["clock"]["start"], state["start"]),
        kept,
        start.start,
        state["start"].get("is_good", False),
        callbacks,
    )
    if files is None:
        result = stage.run(host_state=state, progress=progress)
    else:
        evaluate = ElboEvaluator(
            learner.model,
            learner.target,
            num_samples=config.training.num_evaluation_samples,
            temperature=learner.temperature,
            seed=config.seed,
        )
        with files.training(learner, evaluate, stage.limits) as keyword_arguments:
            result = stage.run(host_state=state, progress=progress, **keyword_arguments)
    if result.stop_reason.is_failure:
        problem = f"{result.problem}{exception_text(context.shared)}"
        if files is not None:
            files.fail(result)
        raise FitError(problem)
    if stage.exploration is not None and (
        stage.exploration.num_rounds or stage.exploration.improper
    ):
        context.say(f"exploration: {stage.exploration}")
    finished = files.finished(result, learner.mixture()) if files is not None else None
    if finished is not None:
        posterior = Posterior(finished.mixture, target=context.alone, run_info=finished.run_info)
        return Fitted(posterior, result, is_from_file=True)
    posterior = _corrected(context, stage, result, state["start"])
    if files is not None:
        files.keep_finished(posterior, result)
    return Fitted(posterior, result)


def _refuse_checked_numerics() -> None:
    """Before anything is traced: graphs that later fits share would keep the checks."""
    try:
        tf.math.divide(0.0, 0.0)
    except tf.errors.InvalidArgumentError as error:
        raise FitError(NUMERICS_CHECKED) from error


def _check_target(context: FitContext, start: StartStage) -> None:
    config = context.config
    common: dict[str, Any] = {"needs_gradient": needs_gradient(config), "seed": config.seed}
    if start.start is None:
        warnings = check_target(context.target, start.learner.model.mixture(), **common)
    else:
        dtype = start.learner.model.dtype
        where = start.start
        warnings = check_target_at(context.target, where.mean, where.scale, dtype=dtype, **common)
    for warning in warnings:
        context.say(f"target: {warning}")


def _start(start: StartStage, state: dict, files, kept: MixtureState | None) -> None:
    """Searches for a first mixture unless that has been done."""
    clock = state.setdefault("clock", {})
    is_new = "start" not in state
    if not is_new:
        state["start"] = Started.checked(state["start"], start.learner.target.num_dimensions)
        start.restore(state)
    else:
        journal = None if files is None else files.journal()
        started = start.run(journal) if start.is_on else Started()
        state["start"] = started.as_dict()
        if kept is not None:
            kept.assign(start.learner.mixture())
    clock["start"] = start.seconds(clock.get("start", 0.0))
    if is_new and files is not None and start.is_on:
        files.save_start(state)


def _corrected(
    context: FitContext, stage: TrainingStage, result: TrainingResult, started: dict
) -> Posterior:
    """The posterior after the stages that follow training."""
    config, say = context.config, context.say
    spent = started["num_evaluations"]
    begin = time.perf_counter()
    mixture = stage.learner.mixture()
    evaluations = result.num_target_evaluations
    if context.counts_everything:
        evaluations += result.num_nonfinite + spent + stage.num_exploration_evaluations
    elbo, judged, extra = result.last_row.get("elbo"), stage.num_judging_evaluations, 0
    evaluations += judged
    if stage.is_passed:
        elbo = started["importance_check"][-1]["elbo"]
    elif config.training.keep_best and stage.blocks is not None:
        mixture, extra = best_mixture(context, mixture, stage.blocks, evaluations)
        mixture, evaluations = without_negligible(mixture), evaluations + extra
        elbo = max(stage.blocks.best_elbo, float("-inf") if elbo is None or judged else elbo)
    seconds = result.clock.train + result.clock.start + time.perf_counter() - begin
    is_known = elbo is not None and math.isfinite(elbo)
    reached = f", ELBO about {elbo:.3f}" if is_known else ""
    lost = result.num_nonfinite / max(1, result.num_nonfinite + result.num_target_evaluations)
    if is_known and lost > MAX_LOST:
        reached += f" over finite values alone; {lost:.0%} of the training's had none"
    ended = f"stopped ({result.stop_reason}) after {result.iterations} iterations"
    took = f"{seconds:.1f} s of training ({result.clock.trace:.1f} s of them tracing)"
    if stage.is_passed:
        ended, took = "the first mixture needs no training", f"{seconds:.1f} s"
    count = int(mixture.num_components)
    say(
        f"{ended}, {evaluations:,} target evaluations, {took}; "
        f"{count} component{'s' * (count != 1)}{reached}"
    )
    num_exceptions = context.shared.num_exceptions
    if num_exceptions:
        say(f"the target raised {num_exceptions} times{exception_text(context.shared)}")
    run_info = {
        "stop_reason": str(result.stop_reason),
        "iterations": result.iterations,
        "num_target_evaluations": evaluations,
        "num_start_evaluations": spent,
        "num_nonfinite": result.num_nonfinite,
        "num_exceptions": num_exceptions,
        "train_seconds": round(seconds, 3),
        "seed": config.seed,
        "temperature": stage.learner.temperature,
        "algorithm": config.code_word or "custom rules",
    }
    if config.training.stop_when_converged:
        run_info["converged"] = result.stop_reason is StopReason.CONVERGED
    if context.counts_everything:
        run_info |= _by_stage(stage, result, spent, judged + extra)
    names = "modes", "importance_check", "singular"
    run_info |= {name: started[name] for name in names if name in started}
    if "coordinates" in started:
        found = started["coordinates"]
        run_info["coordinates"] = {k: v for k, v in found.items() if k != "coordinate_map"}
    if stage.exploration is not None:
        run_info["exploration"] = stage.exploration.summary()
    posterior = Posterior(mixture, target=context.alone, run_info=run_info)
    is_good = stage.is_passed or (stage.exploration is not None and stage.exploration.is_good)
    if config.component_weights.mode != "off" and not is_good:
        posterior = _accounted("component weights", reweighted_components, context, posterior)
    if config.population_monte_carlo.mode != "off":
        name = "population Monte Carlo"
        posterior = _accounted(name, with_population_monte_carlo, context, posterior)
    earlier = started.get("audit") if stage.is_passed else None
    if earlier is None and stage.exploration is not None:
        earlier = stage.exploration.audit
    posterior = _accounted("audit", audited, context, posterior, stage.start, earlier)
    if context.counts_everything:
        say(f"spent: {_spent(posterior.run_info)}")
    return posterior


def _by_stage(
    stage: TrainingStage, result: TrainingResult, start_evaluations: int, after_training: int
) -> dict:
    """Stage -> evaluations of the target, and seconds, up to the choice of the best mixture.

    Over all sessions, the seconds of exploration apart.
    """
    clock = result.clock
    training = result.num_target_evaluations + result.num_nonfinite + after_training
    spent = {
        "check and start": (start_evaluations, clock.start),
        "training": (training, clock.train),
    }
    if stage.exploration is not None:
        spent["exploration"] = stage.exploration.num_evaluations, stage.exploration.seconds
    return {
        "stage_evaluations": {name: count for name, (count, _) in spent.items() if count},
        "stage_seconds": {name: round(each, 3) for name, (count, each) in spent.items() if count},
    }


def _accounted(name: str, run: Callable, context: FitContext, posterior, *args) -> Posterior:
    """What a stage after training makes of the posterior; what it spends is put down."""
    begin, before = time.perf_counter(), posterior.run_info["num_target_evaluations"]
    found = run(context, posterior, *args)
    info = found.run_info
    evaluations = info["num_target_evaluations"] - before
    if evaluations and context.counts_everything:
        seconds = round(time.perf_counter() - begin, 3)
        info["stage_evaluations"] = info["stage_evaluations"] | {name: evaluations}
        info["stage_seconds"] = info["stage_seconds"] | {name: seconds}
    return found


def _spent(info: dict) -> str:
    seconds = info["stage_seconds"]
    return "; ".join(
        f"{name} {count:,} evaluations in {seconds[name]:.1f} s"
        for name, count in info["stage_evaluations"].items()
    )
