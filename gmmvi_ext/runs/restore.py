"""What a run left in a checkpoint, put together again."""

from collections.abc import Callable
from pathlib import Path

from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.reading import read_run
from gmmvi_ext.training.checkpoints import CheckpointError, Checkpoints
from gmmvi_ext.training.loop import Clock, TrainingResult
from gmmvi_ext.training.stopping import StopReason

__all__ = ["restored_result"]


def restored_result(
    folder: Path, trained, checkpoint: int | None, check: Callable[[], object] | None = None
) -> tuple[TrainingResult, dict]:
    """Restores a checkpoint into `trained`; what the training loop would have there, and the host.

    Args:
      folder: of the run.
      trained: an algorithm or a trainer, as the run's configuration builds it.
      checkpoint: its iteration; None for the newest.
      check: refuses a state that no run writes, see `Checkpoints`.

    Raises:
      CommandError: there is no such checkpoint, or it does not fit.
    """
    checkpoints = Checkpoints(folder / "checkpoints", trained, check=check)
    try:
        state = checkpoints.restore(checkpoint)
    except CheckpointError as error:
        raise CommandError(str(error)) from None
    if state is None:
        raise CommandError(f"{folder / 'checkpoints'}: holds no checkpoint yet.")
    for passed in checkpoints.skipped:
        print(f"note: checkpoint skipped: {passed}")
    iterations = int(trained.num_iterations)
    evaluations = int(trained.num_target_evaluations)
    print(f"checkpoint of iteration {iterations}, {evaluations:,} evaluations")
    result = TrainingResult(
        _stop_reason(folder, iterations) or StopReason.INTERRUPTED,
        iterations,
        evaluations,
        int(trained.num_nonfinite),
        Clock(**state.get("clock", {})),
        {},
    )
    return result, state


def _stop_reason(folder: Path, iterations: int) -> StopReason | None:
    """Why the run ended, if it ended at this iteration."""
    record = read_run(folder).run
    try:
        return StopReason(record["stop_reason"]) if record["iterations"] == iterations else None
    except (ValueError, KeyError):
        return None
