"""The posterior of a run's checkpoint, written out: `gmmvi-ext export`."""

from pathlib import Path

from gmmvi_ext.config.build import build_algorithm, build_target
from gmmvi_ext.config.config import Config
from gmmvi_ext.fitting.run_files import read_finished
from gmmvi_ext.fitting.soundness import refuse_unsound
from gmmvi_ext.fitting.stages.best_mixture import without_negligible
from gmmvi_ext.fitting.stages.coordinates import saved_map
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.outputs import final_report, write_outputs
from gmmvi_ext.runs.restore import restored_result
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.targets.mapped import MappedTarget
from gmmvi_ext.training.loop import TrainingResult
from gmmvi_ext.training.stopping import StopReason

__all__ = ["export_mixture_run"]


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
    target = MappedTarget(build_target(config))
    algorithm = build_algorithm(config, target)
    result, state = restored_result(
        folder, algorithm, checkpoint, lambda: refuse_unsound(algorithm)
    )
    found = saved_map(state)
    if found is not None:
        target.set_map(found)
    posterior = _posterior(config, folder, target, algorithm, result)
    if workdir is not None:
        write_outputs(config, workdir, posterior, result)
        return 0
    report = final_report(config, posterior)
    try:
        posterior.export(out)
    except FileExistsError as error:
        raise CommandError(f"--out {out}: {error}") from None
    print(report.verdict)
    print(f"model: {out}")
    return 0


def _posterior(
    config: Config, folder: Path, target: MappedTarget, algorithm, result: TrainingResult
) -> Posterior:
    """What the run has made of this checkpoint, or its mixture where it has not come so far."""
    target = target if target.coordinate_map is not None else target.base
    mixture = algorithm.mixture()
    finished = read_finished(folder, config, result.iterations, mixture)
    if finished is not None:
        return Posterior(finished.mixture, target=target, run_info=finished.run_info)
    if config.training.keep_best:
        mixture = without_negligible(mixture)
    run_info = {
        "stop_reason": str(result.stop_reason),
        "iterations": result.iterations,
        "num_target_evaluations": result.num_target_evaluations,
        "train_seconds": round(result.clock.train + result.clock.start, 3),
        "seed": config.seed,
        "temperature": algorithm.temperature,
    }
    if config.training.stop_when_converged:
        run_info["converged"] = result.stop_reason is StopReason.CONVERGED
    return Posterior(mixture, target=target, run_info=run_info)
