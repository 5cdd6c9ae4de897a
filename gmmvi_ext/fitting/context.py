"""What all stages of a fit share."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable

from gmmvi_ext.config.config import Config
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.parallel.strategies import ParallelEvaluation

__all__ = ["FitContext", "FitError", "exception_text", "printer"]


class FitError(RuntimeError):
    """A fit that ended without a usable mixture."""


@dataclasses.dataclass(frozen=True)
class FitContext:
    """What a fit is about, and where its messages go.

    Attributes:
      config: complete and checked.
      target: log density, as given.
      shared: the same, evaluated in parallel where that was asked for.
      parallel: how the target is evaluated.
      say: takes lines for the user.
      begin: `time.perf_counter()` at the start of this session.
    """

    config: Config
    target: Target
    shared: Target
    parallel: ParallelEvaluation
    say: Callable[[str], None]
    begin: float

    @property
    def is_multi_worker(self) -> bool:
        """Whether other processes run the same stages in step with this one."""
        return self.parallel.strategy == "multi_worker"

    @property
    def alone(self) -> Target:
        """The target for stages after training, which every process runs by itself."""
        return self.target if self.is_multi_worker else self.shared

    @property
    def counts_everything(self) -> bool:
        """Whether `max_evaluations` covers all stages; the reference counts training alone."""
        return self.config.start.mode != "off" or self.config.explore.mode != "off"


def printer(is_verbose: bool) -> Callable[[str], None]:
    """Prints lines on stderr, or nothing; a stderr that takes none does not cost the fit."""

    def say(line: str) -> None:
        if is_verbose:
            with contextlib.suppress(OSError, ValueError):
                print(line, file=sys.stderr, flush=True)

    return say


def exception_text(target: Target) -> str:
    """The last exception of a host function, in brackets; nothing if there was none."""
    error = target.last_exception
    return "" if error is None else f" (last: {type(error).__name__}: {error})"
