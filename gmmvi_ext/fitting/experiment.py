"""A fit in a work directory, from its checked configuration to its summary."""

import contextlib
import time
from collections.abc import Callable, Sequence

from gmmvi_ext.config.build import build_target
from gmmvi_ext.config.config import Config
from gmmvi_ext.fitting.context import FitContext, FitError
from gmmvi_ext.fitting.engine import Fitted, run_stages
from gmmvi_ext.fitting.run_files import RunFiles
from gmmvi_ext.fitting.settings import completed
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.outputs import write_outputs
from gmmvi_ext.runs.reading import read_run
from gmmvi_ext.runs.session import disk_trouble_told
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.runs.writers import publish
from gmmvi_ext.targets.base import TargetError
from gmmvi_ext.targets.parallel.strategies import ParallelError, ParallelEvaluation
from gmmvi_ext.training.progress import ProgressDisplay

__all__ = ["fit_in_workdir", "run_experiment"]


def run_experiment(
    config: Config, workdir: WorkDir, *, device: str, parallel: ParallelEvaluation | None = None
) -> int:
    """Builds, checks, trains, and writes everything a run leaves behind.

    Returns:
      exit code, 0.

    Raises:
      ConfigError, CommandError: one line each, also where training ended without a usable mixture.
    """
    begin = time.perf_counter()
    warnings: list[str] = []
    target = build_target(config, warnings=warnings)
    for warning in warnings:
        print(f"target: {warning}")
    config = completed(config, target)
    parallel = parallel or ParallelEvaluation()
    try:
        shared = parallel.distribute(target)
        note = parallel.cost_note(target)
    except ParallelError as error:
        key = "parallel.strategy"
        raise CommandError(f"{config.origin(key)}: {key}: {error}") from error
    if note:
        print(f"note: parallel.strategy: {note}")
    context = FitContext(config, target, shared, parallel, print, begin)
    try:
        fit_in_workdir(context, workdir, device=device, progress=ProgressDisplay())
    except (TargetError, FitError) as error:
        origin = config.origin("environment_name")
        raise CommandError(f"{origin}: environment_name: {config.target_name}: {error}") from error
    return 0


def _take_report(posterior: Posterior, workdir: WorkDir) -> None:
    """The saved report, where there is one that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        posterior.last_report = Posterior.load(workdir / "posterior").last_report


def _verdict(workdir: WorkDir) -> str:
    return str(read_run(workdir.path).summary.get("verdict", ""))


def fit_in_workdir(
    context: FitContext,
    workdir: WorkDir,
    *,
    device: str,
    callbacks: Sequence[Callable[[dict], object]] = (),
    progress: ProgressDisplay | None = None,
) -> Fitted:
    """Runs the stages of a fit and writes what they leave behind.

    Raises:
      CommandError: the folder cannot be used or written.
      TargetError, FitError: see `run_stages`.
    """
    files = RunFiles(context, workdir, device=device)
    with disk_trouble_told(workdir):
        was_complete = files.is_complete()
        fitted = run_stages(context, files, callbacks=callbacks, progress=progress)
        iterations = fitted.result.iterations
        if was_complete and fitted.is_from_file:
            _take_report(fitted.posterior, workdir)
            context.say(f"finished before; nothing is evaluated again. {_verdict(workdir)}")
        elif context.parallel.is_chief:
            plots = write_outputs(
                context.config, workdir, fitted.posterior, fitted.result, context.say
            )
            publish(files.writers, workdir, plots, iterations)
        else:
            worker = context.parallel.worker
            context.say(f"worker {worker} is done; worker 0 writes the results")
        files.finish(fitted.result, fitted.posterior.run_info)
    return fitted
