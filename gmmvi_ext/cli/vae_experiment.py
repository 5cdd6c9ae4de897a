"""One run of a VAE from its checked configuration to its summary; imports TensorFlow."""

import dataclasses
import math
import time

import numpy as np

from gmmvi_ext.amortized.evaluation import BoundEvaluator
from gmmvi_ext.cli.errors import CommandError
from gmmvi_ext.cli.experiment import (
    _announce,
    _config_text,
    _restore,
    _result_record,
    _run_record,
)
from gmmvi_ext.cli.extras import tensorboard_writers
from gmmvi_ext.cli.vae_outputs import write_vae_outputs
from gmmvi_ext.cli.workdir import WorkDir
from gmmvi_ext.config.vae import VaeConfig, build_vae_parts
from gmmvi_ext.training.checkpoints import Checkpoints
from gmmvi_ext.training.loop import fit, is_on_grid
from gmmvi_ext.training.patience import Patience
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.stopping import Limits, StopReason
from gmmvi_ext.training.writers import JsonlWriter, truncate_metrics, write_atomically, write_json

__all__ = ["run_vae"]

MAX_ROW_DATA = 500  # training images behind a row of metrics where there are no dev data


class _RowEvaluator:
    """Figures of a row of metrics, from dev data or, where there are none, training data."""

    def __init__(self, config: VaeConfig, images, vae):
        self.has_dev = len(images.dev) > 0
        data = images.dev if self.has_dev else images.train[:MAX_ROW_DATA]
        if images.is_stochastic and not self.has_dev:
            data = np.round(data)
        self._evaluate = BoundEvaluator(
            vae, data, num_samples=config.training.num_evaluation_samples, seed=config.seed
        )

    def __call__(self, iteration: int) -> dict:
        found = dataclasses.asdict(self._evaluate())
        del found["num_samples"]
        if not math.isfinite(found["elbo"]):
            found["problem"] = "the ELBO"
        return found


def run_vae(config: VaeConfig, workdir: WorkDir, *, device: str) -> int:
    """Builds, trains, and writes everything a run leaves behind.

    Returns:
      exit code, 0.

    Raises:
      ConfigError, CommandError: one line each.
    """
    images, trainer = build_vae_parts(config)
    checkpoints = Checkpoints(
        workdir / "checkpoints", trainer, max_to_keep=config.training.max_checkpoints
    )
    host_state = _restore(config, workdir, checkpoints)
    try:
        return _train_and_write(config, workdir, images, trainer, checkpoints, host_state, device)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise CommandError(
            f"--workdir {workdir.path}: {place}{error.strerror or error}; the last checkpoint is "
            "intact. Make room or access and give the same command again."
        ) from error


def _train_and_write(config, workdir, images, trainer, checkpoints, host_state, device) -> int:
    training = config.training
    start = time.perf_counter()
    iteration = int(trainer.num_iterations)
    limits = Limits(training.num_iterations, training.max_evaluations, training.max_seconds)
    trained = (host_state or {}).get("clock", {}).get("train", 0.0)
    is_over = limits.reached(iteration, int(trainer.num_target_evaluations), trained)

    def is_kept(row: dict) -> bool:
        at = row["iteration"]
        on_grid = is_on_grid(at, config.log_interval)
        return at <= iteration and (on_grid or (is_over is not None and at == iteration))

    write_atomically(workdir / "config.yml", _config_text(config))
    truncate_metrics(workdir / "metrics.jsonl", is_kept)
    record = _run_record(config, workdir, device)
    write_json(workdir / "run.json", record)
    resumed = f", going on after iteration {iteration}" if iteration else ""
    print(
        f"{config.code_word} on {config.target_name} ({device}){resumed}; work directory "
        f"{workdir.path}"
    )
    evaluate = _RowEvaluator(config, images, trainer.vae)
    keeps_best = training.keep_best and evaluate.has_dev
    writers = [JsonlWriter(workdir / "metrics.jsonl"), *tensorboard_writers(config, workdir)]
    try:
        result = fit(
            trainer,
            limits=limits,
            log_interval=config.log_interval,
            evaluate=evaluate,
            writers=writers,
            convergence=Patience(training.patience, trainer.keep_best if keeps_best else None),
            checkpoints=checkpoints,
            checkpoint_interval=training.checkpoint_interval,
            progress=ProgressDisplay(),
            host_state=host_state,
        )
    finally:
        for writer in writers:
            writer.close()
    record |= _result_record(result)
    if result.stop_reason.is_failure:
        problem = f"the ELBO is not finite after {result.iterations} steps. {trainer.remedy}"
        write_json(workdir / "run.json", record | {"status": "failed", "problem": problem})
        raise CommandError(f"{config.origin('optimizer_config')}: optimizer_config: {problem}")
    _announce(result)
    if keeps_best:
        trainer.restore_best()
    write_vae_outputs(config, workdir, images, trainer, result)
    record["seconds"]["total"] = round(time.perf_counter() - start, 3)
    write_json(workdir / "run.json", record | {"status": "finished"})
    if result.stop_reason is StopReason.INTERRUPTED:
        print(f"interrupted; go on with: gmmvi-ext run --resume --workdir {workdir.path}")
    return 0
