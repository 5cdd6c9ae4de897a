"""When a run ends: limits, convergence, and failure."""

import dataclasses
import enum
import itertools
import math
from typing import Annotated

from gmmvi_ext.ranges import NON_NEGATIVE, Range, checked, require

__all__ = ["DEFAULT_NUM_ITERATIONS", "Convergence", "Limits", "StopReason"]

DEFAULT_NUM_ITERATIONS = 1000


class StopReason(enum.StrEnum):
    """Why a run ended; the values appear in `summary.json`.

    Example:
        >>> from gmmvi_ext.training import Limits, StopReason
        >>> reason = Limits(num_iterations=100).reached(iterations=100, evaluations=0, seconds=0.0)
        >>> reason is StopReason("num_iterations"), reason.is_failure
        (True, False)
    """

    NUM_ITERATIONS = "num_iterations"
    MAX_EVALUATIONS = "max_evaluations"
    MAX_SECONDS = "max_seconds"
    CONVERGED = "converged"
    NO_IMPROVEMENT = "no_improvement"
    DIVERGED = "diverged"
    NO_FINITE_VALUE = "no_finite_value"
    INTERRUPTED = "interrupted"

    @property
    def is_failure(self) -> bool:
        """Whether there is nothing to use."""
        return self in (StopReason.DIVERGED, StopReason.NO_FINITE_VALUE)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Budgets of a run, over all its sessions; None leaves one open.

    Attributes:
      num_iterations: most iterations; 1000 if all three are None.
      max_evaluations: most target evaluations; the iteration that reaches it is the last.
      max_seconds: most seconds spent in steps.

    Example:
        >>> from gmmvi_ext.training import Limits
        >>> limits = Limits(max_evaluations=1000, max_seconds=60.0)
        >>> limits.reached(iterations=40, evaluations=1200, seconds=3.0).value
        'max_evaluations'
        >>> limits.fraction(iterations=40, evaluations=500, seconds=3.0)
        0.5
    """

    num_iterations: int | None = None
    max_evaluations: int | None = None
    max_seconds: float | None = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            require(value is None or value in NON_NEGATIVE, field.name, str(NON_NEGATIVE), value)
            is_whole = value is None or value == math.inf or value % 1 == 0
            require(is_whole or field.name == "max_seconds", field.name, "a whole number", value)
        if self.num_iterations is self.max_evaluations is self.max_seconds is None:
            object.__setattr__(self, "num_iterations", DEFAULT_NUM_ITERATIONS)

    def reached(self, iterations: int, evaluations: int, seconds: float) -> StopReason | None:
        """The first limit that has been reached."""
        if self.num_iterations is not None and iterations >= self.num_iterations:
            return StopReason.NUM_ITERATIONS
        if self.max_evaluations is not None and evaluations >= self.max_evaluations:
            return StopReason.MAX_EVALUATIONS
        if self.max_seconds is not None and seconds >= self.max_seconds:
            return StopReason.MAX_SECONDS
        return None

    def fraction(self, iterations: int, evaluations: int, seconds: float) -> float:
        """How much of the nearest limit is used up, in [0, 1]."""
        pairs = (
            (iterations, self.num_iterations),
            (evaluations, self.max_evaluations),
            (seconds, self.max_seconds),
        )
        shares = [used / limit if limit else 1.0 for used, limit in pairs if limit is not None]
        return min(1.0, max(shares))


class Convergence:
    """Stops when the ELBO of the last rows is no better than that of the rows before.

    The means of the last `window` rows and of the `window` before them are compared:

        stop:  rise <= max(tolerance * price, 2 s.e.),   price = max(1, evaluations last / before)

    so a rise counts if it exceeds both two standard errors of the difference and the tolerance,
    which grows with the evaluations it took: an iteration can come to cost ten times what it did
    before (components that need fresh samples all the time). The noise is taken from successive
    differences of the last rows, so that a steady rise is not mistaken for noise.

    Args:
      window: rows in each mean.
      tolerance: smallest rise of interest, in nats, at the price of the window before.

    Example:
        >>> from gmmvi_ext.training import Convergence
        >>> rule = Convergence(window=2, tolerance=0.01)
        >>> for elbo in [-9.0, -5.0, -1.0, -1.0, -1.0, -1.0]:
        ...     reason = rule({"elbo": elbo, "elbo_se": 0.001, "num_target_evaluations": 100})
        ...     print(elbo, reason and reason.value)
        -9.0 None
        -5.0 None
        -1.0 None
        -1.0 None
        -1.0 None
        -1.0 converged
    """

    @checked
    def __init__(self, window: Annotated[int, Range(2)] = 10, tolerance: float = 0.01):
        self.window = window
        self.tolerance = tolerance
        self._rows: list[list[float]] = []  # ELBO, evaluations

    def __call__(self, row: dict) -> StopReason | None:
        """Takes a row of metrics in; `StopReason.CONVERGED` once the ELBO stands still.

        Rows without `num_target_evaluations` are taken to cost all the same.
        """
        elbo = row.get("elbo")
        if elbo is None or not math.isfinite(elbo):
            return None
        count = float(row.get("num_target_evaluations", 0))
        self._rows = [*self._rows, [float(elbo), count]][-2 * self.window :]
        if len(self._rows) < 2 * self.window:
            return None
        elbos = [elbo for elbo, _ in self._rows]
        before, last = elbos[: self.window], elbos[self.window :]
        rise = _mean(last) - _mean(before)
        noise = 2.0 * math.sqrt(2.0 * _jitter(last) / self.window)
        return StopReason.CONVERGED if rise <= max(self.tolerance * self._price(), noise) else None

    def _price(self) -> float:
        """Evaluations of the last window over those of the one before, at least 1."""
        counts = [count for _, count in self._rows]
        before = counts[self.window - 1] - counts[0]
        last = counts[-1] - counts[self.window]
        return max(1.0, last / before) if before > 0 else 1.0

    def rule(self) -> list[float]:
        """Its settings: a run that it has ended stays ended under the same ones."""
        return [self.window, self.tolerance]

    def state(self) -> list[list[float]]:
        """What a checkpoint has to keep."""
        return self._rows

    def restore(self, state: list[list[float]]) -> None:
        """Takes back what `state` gave."""
        self._rows = [list(row) for row in state]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _jitter(values: list[float]) -> float:
    """Variance around a slowly moving mean."""
    steps = [(b - a) ** 2 for a, b in itertools.pairwise(values)]
    return math.fsum(steps) / (2 * len(steps))
