"""What all stages of a fit share."""

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable

from gmmvi_ext.config.config import Config
from gmmvi_ext.constraints.coordinate_map import AnyMap
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.mapped import MappedTarget
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
      earlier_seconds: of earlier sessions.
    """

    config: Config
    target: Target
    shared: Target
    parallel: ParallelEvaluation
    say: Callable[[str], None]
    begin: float
    earlier_seconds: float = 0.0

    def deadline(self, share: float = 1.0) -> float:
        """`time.perf_counter()` at which a share of `training.max_seconds` is spent.

        Infinite where there is no such limit, and where several processes have to do the same:
        their clocks differ.
        """
        most = self.config.training.max_seconds
        if most is None or self.is_multi_worker or not self.counts_everything:
            return math.inf
        return self.begin + share * most - self.earlier_seconds

    def affordable(self, evaluations: int) -> float:
        """Evaluations that there is time for, at the pace of those so far."""
        now = time.perf_counter()
        seconds = max(now - self.begin + self.earlier_seconds, 1e-9)
        return max(self.deadline() - now, 0.0) * evaluations / seconds

    def with_coordinates(self) -> "FitContext":
        """The same with targets that can be seen through learned coordinates."""
        target = MappedTarget(self.target)
        shared = target if self.shared is self.target else MappedTarget(self.shared)
        return dataclasses.replace(self, target=target, shared=shared)

    def set_map(self, coordinate_map: AnyMap) -> None:
        """Has all that follows see the targets through a map (after `with_coordinates`)."""
        self.target.set_map(coordinate_map)
        if self.shared is not self.target:
            self.shared.set_map(coordinate_map)

    @property
    def is_multi_worker(self) -> bool:
        """Whether other processes run the same stages in step with this one."""
        return self.parallel.strategy == "multi_worker"

    @property
    def alone(self) -> Target:
        """The target for stages after training, which every process runs by itself."""
        found = self.target if self.is_multi_worker else self.shared
        is_plain = isinstance(found, MappedTarget) and found.coordinate_map is None
        return found.base if is_plain else found

    @property
    def counts_everything(self) -> bool:
        """Whether limits cover all stages; the reference counts training alone."""
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
