"""One run from its checked configuration to its summary; imports TensorFlow."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import tensorflow as tf

from gmmvi_ext import __version__
from gmmvi_ext.cli.errors import CommandError
from gmmvi_ext.cli.extras import open_writers, publish, require_extras, with_distance, with_dumps
from gmmvi_ext.cli.outputs import write_outputs
from gmmvi_ext.cli.workdir import WorkDir
from gmmvi_ext.config.build import build_algorithm, build_target
from gmmvi_ext.config.config import Config
from gmmvi_ext.fit.self_check import check_at
from gmmvi_ext.targets.distribution import Distribution, DistributionError, open_distribution
from gmmvi_ext.targets.sharded import DISAGREEMENT
from gmmvi_ext.training.checkpoints import CheckpointError, Checkpoints
from gmmvi_ext.training.evaluation import ElboEvaluator
from gmmvi_ext.training.loop import TrainingResult, fit, is_on_grid
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.stopping import Convergence, Limits, StopReason
from gmmvi_ext.training.target_check import TargetError
from gmmvi_ext.training.watchdog import Watchdog
from gmmvi_ext.training.writers import (
    JsonlWriter,
    truncate_metrics,
    write_atomically,
    write_json,
)

__all__ = ["open_workers", "run_experiment", "select_device"]


def select_device(name: str | None) -> str:
    """Makes the device `name` the only one TensorFlow sees; returns it in words.

    Args:
      name: "cpu", "gpu", "gpu:1", "auto" or None for auto (a GPU if there is one).

    Raises:
      CommandError: there is no such device.
    """
    name = (name or "auto").lower()
    gpus = tf.config.list_physical_devices("GPU")
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "gpu") or (index and not index.isdigit()):
        raise CommandError(f"--device {name}: expected cpu, gpu, gpu:1 or auto.")
    if kind == "cpu" or (kind == "auto" and not gpus):
        if gpus:
            tf.config.set_visible_devices([], "GPU")
        tf.zeros([])  # starts the runtime here, where its messages are held back
        return "cpu"
    number = int(index or 0)
    if number >= len(gpus):
        found = f"{len(gpus)} found" if gpus else "none found"
        raise CommandError(f"--device {name}: no such GPU ({found}); use --device cpu.")
    tf.config.set_visible_devices(gpus[number], "GPU")
    tf.config.experimental.set_memory_growth(gpus[number], True)
    tf.zeros([])
    details = tf.config.experimental.get_device_details(gpus[number])
    return f"gpu:{number} ({details.get('device_name', 'unknown')})"


def open_workers(config: Config, device: str | None) -> tuple[str, Distribution]:
    """Chooses devices and opens the strategy; returns the devices in words, and the strategy.

    Raises:
      CommandError: there is no such device, or the strategy cannot be had.
    """
    settings = config.distribution
    is_replicated = settings.strategy in ("mirrored", "multi_worker")
    gpus = tf.config.list_physical_devices("GPU") if is_replicated else []
    takes_all = gpus and (device or "auto").lower() in ("auto", "gpu")
    if takes_all:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    elif is_replicated and (device or "cpu").lower() in ("auto", "cpu"):
        tf.config.set_visible_devices([], "GPU")
    elif is_replicated:
        device = select_device(device)
    try:
        distribution = open_distribution(**dataclasses.asdict(settings))
    except DistributionError as error:
        key = "distribution.strategy"
        raise CommandError(f"{config.origin(key)}: {key}: {error}") from error
    words = f"{len(gpus)} gpus" if takes_all else device
    if not takes_all and not (is_replicated and (words or "").startswith("gpu:")):
        words = select_device("cpu" if is_replicated else device)
    if settings.strategy != "none":
        words = f"{words}, {settings.strategy} over {distribution.num_workers} workers"
    return words, distribution


def run_experiment(
    config: Config, workdir: WorkDir, *, device: str, distribution: Distribution | None = None
) -> int:
    """Builds, checks, trains, and writes everything a run leaves behind.

    Returns:
      exit code: 0, or 1 if the run ended without a usable mixture.

    Raises:
      ConfigError, CommandError: one line each; nothing of another run has been touched.
    """
    findings: list[str] = []
    target = build_target(config, findings=findings)
    for finding in findings:
        print(f"target: {finding}")
    distribution = distribution or Distribution()
    shared = _shared(config, target, distribution)
    algorithm = build_algorithm(config, shared)
    _check(config, target, algorithm)
    checkpoints = Checkpoints(
        workdir / "checkpoints", algorithm, max_to_keep=config.training.max_checkpoints
    )
    host_state = _restore(config, workdir, checkpoints)
    try:
        return _train_and_write(
            config, workdir, target, algorithm, checkpoints, host_state, device, distribution
        )
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise CommandError(
            f"--workdir {workdir.path}: {place}{error.strerror or error}; the last checkpoint is "
            "intact. Make room or access and give the same command again."
        ) from error


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
        findings = check_at(
            target, algorithm.model.mixture(),
            needs_gradient=config.to_dict()["ng_estimator_type"] != "MORE", seed=config.seed,
        )  # fmt: skip
    except TargetError as error:
        origin = config.origin("environment_name")
        raise CommandError(f"{origin}: environment_name: {config.target_name}: {error}") from error
    for finding in findings:
        print(f"target: {finding}")


def _restore(config: Config, workdir: WorkDir, checkpoints: Checkpoints) -> dict | None:
    try:
        host_state = checkpoints.restore()
    except CheckpointError as error:
        raise CommandError(str(error)) from error
    for passed in checkpoints.passed_over:
        print(f"note: checkpoint passed over: {passed}", file=sys.stderr)
    return host_state


def _train_and_write(
    config: Config, workdir: WorkDir, target, algorithm, checkpoints, host_state, device: str,
    distribution: Distribution,
) -> int:  # fmt: skip
    training = config.training
    start = time.perf_counter()
    iteration = int(algorithm.num_iterations)

    limits = Limits(training.num_iterations, training.max_evaluations, training.max_seconds)
    trained = (host_state or {}).get("clock", {}).get("train", 0.0)
    is_over = limits.reached(iteration, int(algorithm.num_target_evaluations), trained)

    def is_kept(row: dict) -> bool:
        # A last row off the grid belongs to a run that ended there; one that goes on has none.
        at = row["iteration"]
        on_grid = is_on_grid(at, config.log_interval)
        return at <= iteration and (on_grid or (is_over is not None and at == iteration))

    evaluate = ElboEvaluator(
        algorithm.model, algorithm.target, num_samples=training.num_evaluation_samples,
        temperature=algorithm.temperature, seed=config.seed,
    )  # fmt: skip
    evaluate = with_distance(config, evaluate, algorithm.model)
    require_extras(config)
    # First of all, so that a folder that holds anything of a run says which run it is.
    write_atomically(workdir / "config.yml", _config_text(config))
    truncate_metrics(workdir / "metrics.jsonl", is_kept)
    record = _run_record(config, workdir, device)
    writers = open_writers(config, workdir, record)
    write_json(workdir / "run.json", record)
    name = config.code_word or "own rules"
    resumed = f", going on after iteration {iteration}" if iteration else ""
    print(f"{name} on {config.target_name} ({device}){resumed}; work directory {workdir.path}")

    writers.append(JsonlWriter(workdir / "metrics.jsonl"))
    try:
        result = fit(
            with_dumps(config, workdir, algorithm),
            limits=limits,
            log_interval=config.log_interval,
            evaluate=evaluate,
            writers=writers,
            convergence=Convergence(training.convergence_window, training.convergence_tolerance)
            if training.stop_when_converged
            else None,
            checkpoints=checkpoints,
            checkpoint_interval=training.checkpoint_interval,
            progress=ProgressDisplay(),
            host_state=host_state,
            watchdog=Watchdog(algorithm.model),
            agreed=distribution.agreed if distribution.strategy == "multi_worker" else None,
        )
    except tf.errors.OpError as error:
        raise CommandError(_worker_trouble(error, distribution)) from error
    finally:
        for writer in writers:
            writer.close()
    record |= _result_record(result)
    if result.stop_reason.is_failure:
        write_json(workdir / "run.json", record | {"status": "failed", "problem": result.problem})
        origin = config.origin("environment_name")
        raised = getattr(algorithm.target, "last_exception", None)
        told = "" if raised is None else f" (last: {type(raised).__name__}: {raised})"
        raise CommandError(
            f"{origin}: environment_name: {config.target_name}: {result.problem}{told}"
        )
    _announce(result)
    if distribution.is_chief:
        # Of several processes only this one writes results: it evaluates on its own from here on.
        is_alone = distribution.strategy == "multi_worker"
        plots = write_outputs(
            config, workdir, target if is_alone else algorithm.target, algorithm, result
        )
        publish(writers, workdir, plots, result.iterations)
    else:
        print(f"worker {distribution.worker} is done; worker 0 writes the results")
    record["seconds"]["total"] = round(time.perf_counter() - start, 3)
    write_json(workdir / "run.json", record | {"status": "finished"})
    if result.stop_reason is StopReason.INTERRUPTED:
        print(f"interrupted; go on with: gmmvi-ext run --resume --workdir {workdir.path}")
    return 0


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


def _announce(result: TrainingResult) -> None:
    clock = result.clock
    print(
        f"stopped by {result.stop_reason} after {result.iterations} iterations, "
        f"{result.num_target_evaluations:,} target evaluations, {clock.train:.1f} s of training "
        f"({clock.trace:.1f} s of them tracing)"
    )


def _config_text(config: Config) -> str:
    word = config.code_word
    head = f"# Complete configuration of this run{f' ({word})' if word else ''}.\n"
    return head + config.to_yaml()


def _run_record(config: Config, workdir: WorkDir, device: str) -> dict:
    """What somebody needs to know to get the same run again."""
    packages = ("tensorflow", "tensorflow-probability", "tf-keras", "numpy")
    versions = {name: _version(name) for name in packages}
    previous = {}
    try:
        previous = json.loads((workdir / "run.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        pass
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "status": "running",
        "command": sys.argv,
        "started": previous.get("started", now),
        "sittings": [*previous.get("sittings", []), now],
        "algorithm": config.code_word,
        "target": config.target_name,
        "seed": config.seed,
        "mlflow_run": previous.get("mlflow_run"),
        "device": device,
        "versions": {
            "gmmvi_ext": __version__, "python": platform.python_version(), **versions
        },
        "revision": _revision(),
        # Bit equality is promised for equal machine, versions and these two.
        "num_threads": {
            "cores": os.cpu_count(),
            "intra_op": tf.config.threading.get_intra_op_parallelism_threads(),
            "inter_op": tf.config.threading.get_inter_op_parallelism_threads(),
        },
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
    }  # fmt: skip


def _result_record(result: TrainingResult) -> dict:
    clock = {name: round(value, 3) for name, value in dataclasses.asdict(result.clock).items()}
    return {
        "stop_reason": str(result.stop_reason),
        "iterations": result.iterations,
        "num_target_evaluations": result.num_target_evaluations,
        "num_nonfinite": result.num_nonfinite,
        "seconds": {
            "tracing": clock["trace"],
            "stepping": round(clock["train"] - clock["trace"], 3),
            "evaluating": clock["evaluate"],
            "saving": clock["save"],
        },
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Commit of the source tree, where the package runs from one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
