"""One session of a run: taken up where the last one stopped, and ended in words and on disk."""

import contextlib
import dataclasses
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

from gmmvi_ext.config.config import Config
from gmmvi_ext.runs.errors import CommandError, disk_trouble
from gmmvi_ext.runs.loss import digests, tell_loss
from gmmvi_ext.runs.reading import read_run
from gmmvi_ext.runs.record import config_text, run_record
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.checkpoints import CheckpointError, Checkpoints
from gmmvi_ext.training.loop import TrainingResult, is_on_grid
from gmmvi_ext.training.stopping import Limits, StopReason
from gmmvi_ext.training.writers import truncate_metrics, write_json
from gmmvi_ext.whole_files import write_whole

__all__ = ["Session", "announce_end", "disk_trouble_told"]


@dataclasses.dataclass
class Session:
    """A run in its work directory, from here to the end of this process.

    Attributes:
      config: of the run.
      workdir: claimed by this process.
      trained: algorithm or trainer.
      checkpoints: of the run.
      host_state: what the checkpoint held beside the tensors; None at the start of a run.
      limits: budgets over all sessions.
      say: takes lines for the user.
      start: clock at the start of this session.
    """

    config: Config
    workdir: WorkDir
    trained: Any
    checkpoints: Checkpoints
    host_state: dict | None
    limits: Limits
    say: Callable[[str], object] = print
    start: float = dataclasses.field(default_factory=time.perf_counter)

    @classmethod
    def take_up(
        cls,
        config: Config,
        workdir: WorkDir,
        trained,
        *,
        say: Callable[[str], object] = print,
        check: Callable[[], object] | None = None,
        **more,
    ) -> "Session":
        """Restores the newest sound checkpoint into `trained`, an algorithm or a trainer.

        Args:
          config: of the run.
          workdir: claimed by this process.
          trained: algorithm or trainer.
          say: takes lines for the user.
          check: refuses a state that no run writes, see `Checkpoints`.
          **more: further trackable objects that belong to the state, by name.

        Raises:
          CommandError: there are checkpoints, and they do not fit.
        """
        training = config.training
        checkpoints = Checkpoints(
            workdir / "checkpoints",
            trained,
            max_to_keep=training.max_checkpoints,
            check=check,
            **more,
        )
        try:
            host_state = checkpoints.restore()
        except CheckpointError as error:
            raise CommandError(str(error)) from error
        for skipped in checkpoints.skipped:
            print(f"note: checkpoint skipped: {skipped}", file=sys.stderr)
        reached = None if host_state is None else int(trained.num_iterations)
        tell_loss(read_run(workdir.path, allow_outside=workdir.allow_outside), reached, say)
        limits = Limits(training.num_iterations, training.max_evaluations, training.max_seconds)
        return cls(config, workdir, trained, checkpoints, host_state, limits, say)

    @property
    def iteration(self) -> int:
        """Steps taken in earlier sessions, until training goes on."""
        return int(self.trained.num_iterations)

    def open_folder(self, device: str) -> dict:
        """Writes `config.yml`; returns the record of the run."""
        # First of all, so that a folder that holds anything of a run says which run it is.
        write_whole(self.workdir / "config.yml", config_text(self.config))
        return run_record(self.config, self.workdir, device)

    def drop_rows(self) -> None:
        """Drops the rows of `metrics.jsonl` that this session writes again."""
        state = self.host_state or {}
        iteration = self.iteration
        seconds = state.get("clock", {}).get("train", 0.0)
        evaluations = int(self.trained.num_target_evaluations)
        is_over = self.limits.reached(iteration, evaluations, seconds) or "ended" in state

        def is_kept(row: dict) -> bool:
            # A last row off the grid belongs to a run that ended there; one that goes on has none.
            on_grid = is_on_grid(row["iteration"], self.config.log_interval)
            is_last = bool(is_over) and row["iteration"] == iteration
            return row["iteration"] <= iteration and (on_grid or is_last)

        truncate_metrics(self.workdir / "metrics.jsonl", is_kept)

    def announce_start(self, device: str) -> None:
        """Says what runs, on what, and where it goes on."""
        resumed = f", going on after iteration {self.iteration}" if self.iteration else ""
        self.say(
            f"{self.config.algorithm_name} on {self.config.target_name} ({device})"
            f"{resumed}; work directory {self.workdir.path}"
        )

    def fail(self, record: dict, problem: str | None) -> None:
        """Writes down that the run ended without anything to use."""
        failed = record | {"status": "failed", "problem": problem}
        write_json(self.workdir / "run.json", failed)

    def finish(self, record: dict, result: TrainingResult) -> None:
        """Writes that the run has ended; an interrupted one says how it goes on."""
        self.workdir.require_there()
        is_interrupted = result.stop_reason is StopReason.INTERRUPTED
        status = "interrupted" if is_interrupted else "finished"
        record["seconds"]["total"] = round(time.perf_counter() - self.start, 3)
        record |= {"status": status, "files": digests(self.workdir.path)}
        write_json(self.workdir / "run.json", record)
        if is_interrupted:
            self.say(f"interrupted; go on with: {self._same_again()}")

    def _same_again(self) -> str:
        """How the run goes on: a command, or the call where no file names what is fitted."""
        document = self.config.document
        if document.role(document.subject).type_key not in self.config.to_dict():
            return "the same call of fit"
        command = ["gmmvi-ext", "run", "--resume", "--workdir", str(self.workdir.path)]
        return shlex.join(command + ["--allow_code"] * bool(self.config.code_names()))


def announce_end(result: TrainingResult) -> None:
    """Says why training stopped and what it took."""
    clock = result.clock
    print(
        f"stopped ({result.stop_reason}) after {result.iterations} iterations, "
        f"{result.num_target_evaluations:,} target evaluations, {clock.train:.1f} s of training "
        f"({clock.trace:.1f} s of them tracing)"
    )


@contextlib.contextmanager
def disk_trouble_told(workdir: WorkDir):
    """Turns an `OSError` inside into one line that says what to do; and one of a checkpoint."""
    try:
        yield
    except CheckpointError as error:
        raise CommandError(f"--workdir {workdir.path}: {error}") from error
    except OSError as error:
        workdir.require_there()
        raise CommandError(
            f"--workdir {workdir.path}: {disk_trouble(error)}; the last checkpoint is intact. Make "
            "room or access and give the same command again."
        ) from error
