"""One run from its checked configuration to its summary; imports TensorFlow."""

import tensorflow as tf

from gmmvi_ext.config.build import build_algorithm, build_target
from gmmvi_ext.config.config import Config
from gmmvi_ext.fitting.evaluation import ElboEvaluator
from gmmvi_ext.fitting.health import Watchdog
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.outputs import write_outputs
from gmmvi_ext.runs.record import result_record
from gmmvi_ext.runs.session import Sitting, announce_end, disk_trouble_told
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.runs.writers import open_writers, publish, require_extras, with_distance, with_dumps
from gmmvi_ext.targets.base import TargetError
from gmmvi_ext.targets.checks import check_target
from gmmvi_ext.targets.parallel.sharded import DISAGREEMENT
from gmmvi_ext.targets.parallel.strategies import Distribution, DistributionError
from gmmvi_ext.training.loop import train
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.stopping import Convergence
from gmmvi_ext.training.writers import JsonlWriter, write_json

__all__ = ["run_experiment"]


def run_experiment(
    config: Config, workdir: WorkDir, *, device: str, distribution: Distribution | None = None
) -> int:
    """Builds, checks, trains, and writes everything a run leaves behind.

    Returns:
      exit code, 0.

    Raises:
      ConfigError, CommandError: one line each, also where training ended without a usable mixture.
    """
    findings: list[str] = []
    target = build_target(config, findings=findings)
    for finding in findings:
        print(f"target: {finding}")
    distribution = distribution or Distribution()
    shared = _shared(config, target, distribution)
    algorithm = build_algorithm(config, shared)
    _check(config, target, algorithm)
    sitting = Sitting.take_up(config, workdir, algorithm)
    with disk_trouble_told(workdir):
        _train_and_write(sitting, target, algorithm, device, distribution)
    return 0


def _shared(config: Config, target, distribution: Distribution):
    """The target as the algorithm sees it."""
    try:
        shared = distribution.distribute(target)
        note = distribution.cost_note(target)
    except DistributionError as error:
        key = "distribution.strategy"
        raise CommandError(f"{config.origin(key)}: {key}: {error}") from error
    if note:
        print(f"note: distribution.strategy: {note}")
    return shared


def _check(config: Config, target, algorithm) -> None:
    try:
        findings = check_target(
            target,
            algorithm.model.mixture(),
            needs_gradient=config.to_dict()["ng_estimator_type"] != "MORE",
            seed=config.seed,
        )
    except TargetError as error:
        origin = config.origin("environment_name")
        raise CommandError(f"{origin}: environment_name: {config.target_name}: {error}") from error
    for finding in findings:
        print(f"target: {finding}")


def _train_and_write(
    sitting: Sitting, target, algorithm, device: str, distribution: Distribution
) -> None:
    config, workdir = sitting.config, sitting.workdir
    training = config.training
    evaluate = ElboEvaluator(
        algorithm.model,
        algorithm.target,
        num_samples=training.num_evaluation_samples,
        temperature=algorithm.temperature,
        seed=config.seed,
    )
    evaluate = with_distance(config, evaluate, algorithm.model)
    require_extras(config)
    record = sitting.open_folder(device)
    writers = open_writers(config, workdir, record)
    write_json(workdir / "run.json", record)
    sitting.announce_start(device)

    writers.append(JsonlWriter(workdir / "metrics.jsonl"))
    try:
        result = train(
            with_dumps(config, workdir, algorithm),
            limits=sitting.limits,
            log_interval=config.log_interval,
            evaluate=evaluate,
            writers=writers,
            convergence=Convergence(training.convergence_window, training.convergence_tolerance)
            if training.stop_when_converged
            else None,
            checkpoints=sitting.checkpoints,
            checkpoint_interval=training.checkpoint_interval,
            progress=ProgressDisplay(),
            host_state=sitting.host_state,
            watchdog=Watchdog(algorithm.model),
            agreed=distribution.agreed if distribution.strategy == "multi_worker" else None,
        )
    except tf.errors.OpError as error:
        raise CommandError(_worker_trouble(error, distribution)) from error
    finally:
        for writer in writers:
            writer.close()
    record |= result_record(result)
    if result.stop_reason.is_failure:
        sitting.fail(record, result.problem)
        origin = config.origin("environment_name")
        raised = algorithm.target.last_exception
        told = "" if raised is None else f" (last: {type(raised).__name__}: {raised})"
        raise CommandError(
            f"{origin}: environment_name: {config.target_name}: {result.problem}{told}"
        )
    announce_end(result)
    if distribution.is_chief:
        # Of several processes only this one writes results: it evaluates on its own from here on.
        is_alone = distribution.strategy == "multi_worker"
        plots = write_outputs(
            config, workdir, target if is_alone else algorithm.target, algorithm, result
        )
        publish(writers, workdir, plots, result.iterations)
    else:
        print(f"worker {distribution.worker} is done; worker 0 writes the results")
    sitting.finish(record, result)


def _worker_trouble(error: tf.errors.OpError, distribution: Distribution) -> str:
    """What an error of TensorFlow during training means where several processes take part."""
    text = " ".join(str(error.message).split())
    if distribution.strategy != "multi_worker":
        raise error
    if DISAGREEMENT[:40] in text:
        return f"{DISAGREEMENT}."
    # The message begins with where the operation was made; what happened comes last.
    lines = [line.strip() for line in str(error.message).split("\n") if line.strip()]
    places = ("File ", "Detected ", "[[", "The error")
    reason = [line for line in lines if not line.startswith(places)] or lines
    return (
        f"another worker is gone ({reason[-1][:160]}); the last checkpoint is intact, give every "
        "worker the same command again."
    )
