"""Watching the ELBO of a fit: when to stop, and which mixture to keep.

The ELBO estimates of single iterations come free with the training samples, but have outliers: an
estimate that leans on one sample, a component that strays for some iterations. So they are looked
at in blocks of 20 iterations, by their median; a block whose quartiles are far apart, or that falls
back behind the best one, shows no rise: it counts as level with the best (before there is one, it
is left out).

    stop:  mean of the last W block medians - mean of the W before
           <=  max(tolerance * price, 2 s.e.),   price = max(1, evaluations last / before)

The price (`training.stopping.Convergence`) asks for more of a rise that takes more evaluations: in
the neck of a funnel components may need fresh samples in every iteration, and gain little.
"""

import math

import numpy as np

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.training.stopping import Convergence, StopReason

__all__ = ["BLOCK", "Watch"]

BLOCK = 20
CALM = 1.0  # nats between the quartiles of a block; a tenth for each dimension where that is more
MAX_RELAPSES = 5  # blocks in a row without news before the best mixture is settled for


class Watch:
    """A hook of the training loop.

    Args:
      mixture_fn: gives the current mixture.
      num_dimensions: D.
      convergence: the stop rule over block medians; None never stops.

    Attributes:
      best: mixture at the end of the best block, None before there is one.
      best_elbo: median of that block.
      had_relapse: whether any block since the best one fell behind it.
      num_evaluations: of the target: watching takes none.
    """

    num_evaluations = 0

    def __init__(self, mixture_fn, num_dimensions: int, convergence: Convergence | None):
        self._mixture_fn = mixture_fn
        self._convergence = convergence
        self._calm = max(CALM, 0.1 * num_dimensions)
        self._values: list[float] = []
        self._relapses = 0
        self.best: Mixture | None = None
        self.best_elbo = -math.inf
        self.had_relapse = False

    def __call__(self, row: dict) -> StopReason | None:
        elbo = row.get("elbo")
        usable = elbo is not None and math.isfinite(elbo)
        self._values.append(elbo if usable else -math.inf)
        if len(self._values) < BLOCK:
            return None
        values, self._values = np.array(self._values), []
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
        is_calm = np.isfinite(low) and high - low <= self._calm
        if not is_calm or middle < self.best_elbo - 0.5 * self._calm:
            self.had_relapse |= self.best is not None
            self._relapses += self.best is not None
            if self.best is None or self._convergence is None:
                return None
            is_over = self._relapses >= MAX_RELAPSES
            return StopReason.CONVERGED if is_over else self._judged(row, self.best_elbo)
        self._relapses = 0
        if middle >= self.best_elbo and abs(values[-1] - middle) <= self._calm:
            self.best, self.best_elbo = self._mixture_fn(), float(middle)
            self.had_relapse = False
        return None if self._convergence is None else self._judged(row, float(middle))

    def _judged(self, row: dict, level: float) -> StopReason | None:
        """What the stop rule says of a block at this level."""
        count = row.get("num_target_evaluations", 0)
        return self._convergence({"elbo": level, "num_target_evaluations": count})
