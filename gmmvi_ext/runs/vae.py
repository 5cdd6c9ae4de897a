"""One run of a VAE from its checked configuration to its summary, and its export afterwards."""

import math
from pathlib import Path

import numpy as np

from gmmvi_ext.amortized.data import ImageData
from gmmvi_ext.amortized.evaluation import BoundEvaluator
from gmmvi_ext.amortized.trainer import VAETrainer
from gmmvi_ext.config.build_vae import build_vae_parts
from gmmvi_ext.config.config import Config
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.record import result_record
from gmmvi_ext.runs.restore import restored_result
from gmmvi_ext.runs.session import Session, announce_end, disk_trouble_told
from gmmvi_ext.runs.vae_outputs import export_model, write_vae_outputs
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.runs.writers import require_extras, tensorboard_writers
from gmmvi_ext.targets.parallel.strategies import ParallelEvaluation
from gmmvi_ext.training.loop import train
from gmmvi_ext.training.patience import Patience
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.writers import JsonlWriter, write_json

__all__ = ["export_vae_run", "run_vae"]

MAX_ROW_DATA = 500  # training images behind a row of metrics where there are no dev data


class _RowEvaluator:
    """Figures of a row of metrics, from dev data or, where there are none, training data."""

    def __init__(self, config: Config, images, vae):
        has_dev = len(images.dev) > 0
        data = images.dev if has_dev else images.train[:MAX_ROW_DATA]
        if images.is_stochastic and not has_dev:
            data = np.round(data)
        self._evaluate = BoundEvaluator(
            vae, data, num_samples=config.training.num_evaluation_samples, seed=config.seed
        )

    def __call__(self, iteration: int) -> dict:
        found: dict = self._evaluate().row()
        if not math.isfinite(found["elbo"]):
            found["problem"] = "the ELBO"
        return found


def run_vae(
    config: Config, workdir: WorkDir, *, device: str, parallel: ParallelEvaluation | None = None
) -> int:
    """Builds, trains, and writes everything a run leaves behind.

    Args:
      config: checked.
      workdir: claimed by this process.
      device: in words.
      parallel: not used; a VAE takes one process and one device.

    Returns:
      exit code, 0.

    Raises:
      ConfigError, CommandError: one line each.
    """
    images, trainer = build_vae_parts(config)
    session = Session.take_up(config, workdir, trainer, check=trainer.check_state)
    with disk_trouble_told(workdir):
        _train_and_write(session, images, trainer, device)
    return 0


def _train_and_write(session: Session, images: ImageData, trainer: VAETrainer, device: str) -> None:
    config, workdir = session.config, session.workdir
    training = config.training
    require_extras(config)
    record = session.open_folder(device)
    session.drop_rows()
    write_json(workdir / "run.json", record)
    session.announce_start(device)
    evaluate = _RowEvaluator(config, images, trainer.vae)
    keeps_best = _keeps_best(config, images)
    writers = [JsonlWriter(workdir / "metrics.jsonl"), *tensorboard_writers(config, workdir)]
    try:
        result = train(
            trainer,
            limits=session.limits,
            log_interval=config.log_interval,
            evaluate=evaluate,
            writers=writers,
            convergence=Patience(training.patience, trainer.keep_best if keeps_best else None),
            checkpoints=session.checkpoints,
            checkpoint_interval=training.checkpoint_interval,
            progress=ProgressDisplay(),
            host_state=session.host_state,
        )
    finally:
        for writer in writers:
            writer.close()
    record |= result_record(result)
    if result.stop_reason.is_failure:
        problem = f"the ELBO is not finite after {result.iterations} steps. {trainer.remedy}"
        session.fail(record, problem)
        raise CommandError(f"{config.origin('optimizer_config')}: optimizer_config: {problem}")
    announce_end(result)
    if keeps_best:
        trainer.restore_best()
    write_vae_outputs(config, workdir, images, trainer, result)
    session.finish(record, result)


def _keeps_best(config: Config, images: ImageData) -> bool:
    """Whether the run ends with the parameters of its best row."""
    return config.training.keep_best and len(images.dev) > 0


def export_vae_run(
    config: Config,
    folder: Path,
    *,
    workdir: WorkDir | None,
    out: Path,
    checkpoint: int | None,
) -> int:
    """Writes the model of a checkpoint, with summary and plots where it goes into the run.

    The best parameters up to the checkpoint are taken where the run would have ended with them.

    Args:
      config: of the run.
      folder: of the run.
      workdir: the same, claimed, where everything goes into it; None for the model alone.
      out: folder for the model alone.
      checkpoint: iteration of the checkpoint; None for the newest.

    Returns:
      exit code, 0.
    """
    images, trainer = build_vae_parts(config)
    result, _ = restored_result(folder, trainer, checkpoint, trainer.check_state)
    if _keeps_best(config, images):
        trainer.restore_best()
    if workdir is not None:
        write_vae_outputs(config, workdir, images, trainer, result)
        return 0
    try:
        export_model(config, trainer.vae, out, {})
    except FileExistsError as error:
        raise CommandError(f"--out {out}: {error}") from None
    print(f"model: {out}")
    return 0
