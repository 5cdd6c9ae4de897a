"""What a run left in a checkpoint, put together again and written out: `gmmvi-ext export`."""

import json
from pathlib import Path

from gmmvi_ext.config.build import build_algorithm, build_target
from gmmvi_ext.config.config import Config
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.outputs import posterior_of, write_outputs
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.checkpoints import CheckpointError, Checkpoints
from gmmvi_ext.training.loop import Clock, TrainingResult
from gmmvi_ext.training.stopping import StopReason

__all__ = ["export_mixture_run", "restored_result"]


def restored_result(folder: Path, trained, checkpoint: int | None) -> TrainingResult:
    """Restores a checkpoint into `trained`; returns what the training loop would have there.

    Args:
      folder: of the run.
      trained: an algorithm or a trainer, as the run's configuration builds it.
      checkpoint: its iteration; None for the newest.

    Raises:
      CommandError: there is no such checkpoint, or it does not fit.
    """
    checkpoints = Checkpoints(folder / "checkpoints", trained)
    try:
        state = checkpoints.restore(checkpoint)
    except CheckpointError as error:
        raise CommandError(str(error)) from None
    if state is None:
        raise CommandError(f"{folder / 'checkpoints'}: holds no checkpoint yet.")
    for passed in checkpoints.passed_over:
        print(f"note: checkpoint passed over: {passed}")
    iterations = int(trained.num_iterations)
    evaluations = int(trained.num_target_evaluations)
    print(f"checkpoint of iteration {iterations}, {evaluations:,} evaluations")
    return TrainingResult(
        _stop_reason(folder, iterations) or StopReason.INTERRUPTED,
        iterations,
        evaluations,
        int(trained.num_nonfinite),
        Clock(**state.get("clock", {})),
        {},
    )


def _stop_reason(folder: Path, iterations: int) -> StopReason | None:
    """Why the run ended, if it ended at this iteration."""
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return StopReason(record["stop_reason"]) if record["iterations"] == iterations else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def export_mixture_run(
    config: Config,
    folder: Path,
    *,
    workdir: WorkDir | None,
    out: Path,
    checkpoint: int | None,
) -> int:
    """Writes the posterior of a checkpoint, with summary and plots where it goes into the run.

    Args:
      config: of the run.
      folder: of the run.
      workdir: the same, claimed, where everything goes into it; None for the export alone.
      out: folder for the export alone.
      checkpoint: iteration of the checkpoint; None for the newest.

    Returns:
      exit code, 0.
    """
    target = build_target(config)
    algorithm = build_algorithm(config, target)
    result = restored_result(folder, algorithm, checkpoint)
    if workdir is not None:
        write_outputs(config, workdir, target, algorithm, result)
        return 0
    posterior = posterior_of(config, target, algorithm, result)
    report = posterior.report(num_samples=config.outputs.num_report_samples, seed=config.seed)
    try:
        posterior.export(out)
    except FileExistsError as error:
        raise CommandError(f"--out {out}: {error}") from None
    print(report.verdict)
    print(f"model: {out}")
    return 0
