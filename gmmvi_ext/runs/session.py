"""One sitting of a run: taken up where the last one stopped, and ended in words and on disk."""

import contextlib
import dataclasses
import sys
import time

from gmmvi_ext.config.config import Config
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.record import config_text, run_record
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.checkpoints import CheckpointError, Checkpoints
from gmmvi_ext.training.loop import TrainingResult, is_on_grid
from gmmvi_ext.training.stopping import Limits, StopReason
from gmmvi_ext.training.writers import truncate_metrics, write_atomically, write_json

__all__ = ["Sitting", "announce_end", "disk_trouble_told"]


@dataclasses.dataclass(frozen=True)
class Sitting:
    """A run in its work directory, from here to the end of this process.

    Attributes:
      config: of the run.
      workdir: claimed by this process.
      checkpoints: of the run.
      host_state: what the checkpoint held beside the tensors; None at the start of a run.
      iteration: steps taken in earlier sittings.
      limits: budgets over all sittings.
      is_over: whether one of them is used up already.
      start: clock at the start of this sitting.
    """

    config: Config
    workdir: WorkDir
    checkpoints: Checkpoints
    host_state: dict | None
    iteration: int
    limits: Limits
    is_over: bool
    start: float

    @classmethod
    def take_up(cls, config: Config, workdir: WorkDir, trained) -> "Sitting":
        """Restores the newest sound checkpoint into `trained`, an algorithm or a trainer.

        Raises:
          CommandError: there are checkpoints, and they do not fit.
        """
        training = config.training
        checkpoints = Checkpoints(
            workdir / "checkpoints", trained, max_to_keep=training.max_checkpoints
        )
        try:
            host_state = checkpoints.restore()
        except CheckpointError as error:
            raise CommandError(str(error)) from error
        for passed in checkpoints.passed_over:
            print(f"note: checkpoint passed over: {passed}", file=sys.stderr)
        limits = Limits(training.num_iterations, training.max_evaluations, training.max_seconds)
        iteration = int(trained.num_iterations)
        seconds = (host_state or {}).get("clock", {}).get("train", 0.0)
        reached = limits.reached(iteration, int(trained.num_target_evaluations), seconds)
        return cls(
            config,
            workdir,
            checkpoints,
            host_state,
            iteration,
            limits,
            reached is not None,
            time.perf_counter(),
        )

    def open_folder(self, device: str) -> dict:
        """Writes `config.yml`, drops rows that are taken again; returns the record of the run."""
        # First of all, so that a folder that holds anything of a run says which run it is.
        write_atomically(self.workdir / "config.yml", config_text(self.config))
        truncate_metrics(self.workdir / "metrics.jsonl", self._is_kept)
        return run_record(self.config, self.workdir, device)

    def announce_start(self, device: str) -> None:
        """Says what runs, on what, and where it goes on."""
        resumed = f", going on after iteration {self.iteration}" if self.iteration else ""
        print(
            f"{self.config.code_word or 'own rules'} on {self.config.target_name} ({device})"
            f"{resumed}; work directory {self.workdir.path}"
        )

    def fail(self, record: dict, problem: str) -> None:
        """Writes down that the run ended without anything to use."""
        failed = record | {"status": "failed", "problem": problem}
        write_json(self.workdir / "run.json", failed)

    def finish(self, record: dict, result: TrainingResult) -> None:
        """Writes that the run has ended; an interrupted one says how it goes on."""
        record["seconds"]["total"] = round(time.perf_counter() - self.start, 3)
        write_json(self.workdir / "run.json", record | {"status": "finished"})
        if result.stop_reason is StopReason.INTERRUPTED:
            print(f"interrupted; go on with: gmmvi-ext run --resume --workdir {self.workdir.path}")

    def _is_kept(self, row: dict) -> bool:
        # A last row off the grid belongs to a run that ended there; one that goes on has none.
        at = row["iteration"]
        on_grid = is_on_grid(at, self.config.log_interval)
        return at <= self.iteration and (on_grid or (self.is_over and at == self.iteration))


def announce_end(result: TrainingResult) -> None:
    """Says why training stopped and what it took."""
    clock = result.clock
    print(
        f"stopped by {result.stop_reason} after {result.iterations} iterations, "
        f"{result.num_target_evaluations:,} target evaluations, {clock.train:.1f} s of training "
        f"({clock.trace:.1f} s of them tracing)"
    )


@contextlib.contextmanager
def disk_trouble_told(workdir: WorkDir):
    """Turns an `OSError` inside into one line that says what to do."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise CommandError(
            f"--workdir {workdir.path}: {place}{error.strerror or error}; the last checkpoint is "
            "intact. Make room or access and give the same command again."
        ) from error
