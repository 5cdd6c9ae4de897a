"""Early stopping: ends a run after so many rows without a better ELBO, and keeps the best."""

import math
from collections.abc import Callable

from gmmvi_ext.ranges import Count, checked
from gmmvi_ext.training.stopping import StopReason

__all__ = ["Patience"]


class Patience:
    """Stop rule with the interface of `Convergence`.

    Args:
      rows: rows without a better ELBO that end the run; None never ends it.
      keep: called with each ELBO that is better than all before it.

    Example:
        >>> from gmmvi_ext.training import Patience
        >>> rule = Patience(rows=2)
        >>> [rule({"elbo": elbo}) for elbo in (-3.0, -2.0, -2.5)]
        [None, None, None]
        >>> rule({"elbo": -2.1}).value  # the second row without a better one
        'no_improvement'
    """

    @checked
    def __init__(self, rows: Count | None, keep: Callable[[float], object] | None = None):
        self.rows = rows
        self._keep = keep
        self._best = -math.inf
        self._since = 0

    def __call__(self, row: dict) -> StopReason | None:
        """Takes a row of metrics in."""
        elbo = row.get("elbo")
        if elbo is not None and math.isfinite(elbo) and elbo > self._best:
            self._best, self._since = float(elbo), 0
            if self._keep is not None:
                self._keep(self._best)
            return None
        self._since += 1
        is_over = self.rows is not None and self._since >= self.rows
        return StopReason.NO_IMPROVEMENT if is_over else None

    def rule(self) -> int | None:
        """Its setting: a run that it has ended stays ended under the same one."""
        return self.rows

    def state(self) -> list[float | None]:
        """What a checkpoint has to keep."""
        return [self._best if math.isfinite(self._best) else None, self._since]

    def restore(self, state: list) -> None:
        """Takes back what `state` gave."""
        self._best = -math.inf if state[0] is None else float(state[0])
        self._since = int(state[1])
