"""Convergence by blocks of iterations: when to stop, and which mixture to keep.

The ELBO estimates of single iterations come free with the training samples, but have outliers: an
estimate that leans on one sample, a component that strays for some iterations. So they are looked
at in blocks of 20 iterations, by their median; a block whose quartiles are far apart, or that falls
back behind the best one, shows no rise: it counts as level with the best (before there is one, it
is left out).

    stop:  mean of the last W block medians - mean of the W before
           <=  max(tolerance * price, 2 s.e.),   price = max(1, evaluations last / before)

The price (`training.stopping.Convergence`) asks for more of a rise that takes more evaluations: in
the neck of a funnel components may need fresh samples in every iteration, and gain little.

Where values of the target are noisy, a training fits the noise of its samples and their ELBO does
not show it: the mixture at the end of a block, and the first one, are judged by draws of their own.
"""

import math
from collections.abc import Callable

import numpy as np

from gmmvi_ext.fitting.mixture_state import MixtureState
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.training.stopping import Convergence, StopReason

__all__ = ["BLOCK", "BlockConvergence"]

BLOCK = 20
CALM = 1.0  # nats between the quartiles of a block; a tenth for each dimension where that is more
MAX_RELAPSES = 5  # blocks in a row without news before the best mixture is settled for


class BlockConvergence:
    """An observer of the training loop.

    Args:
      mixture_fn: gives the current mixture.
      kept: holds the mixture at the end of the best block (checkpoints keep it).
      num_dimensions: D.
      convergence: the stop rule over block medians; None never stops.
      judge: ELBO of a mixture by fresh draws with exact values, which replaces the median; None
        believes the training.

    Attributes:
      best_elbo: median of that block.
      had_relapse: whether any block since the best one fell behind it.
      num_judgments: mixtures that have been judged.
    """

    def __init__(
        self,
        mixture_fn: Callable[[], Mixture],
        kept: MixtureState,
        num_dimensions: int,
        convergence: Convergence | None,
        judge: Callable[[Mixture], float] | None = None,
    ):
        self._mixture_fn = mixture_fn
        self._convergence = convergence
        self.judge = judge
        self._calm = max(CALM, 0.1 * num_dimensions)
        self._values: list[float] = []
        self._relapses = 0
        self._kept = kept
        self.num_judgments = 0
        self.best_elbo = -math.inf
        self.had_relapse = False

    @property
    def best(self) -> Mixture | None:
        """Mixture at the end of the best block, None before there is one."""
        return self._kept.mixture() if math.isfinite(self.best_elbo) else None

    def __call__(self, row: dict) -> StopReason | None:
        if self.judge is not None and self.best_elbo == -math.inf:
            self.best_elbo = self._judgment(self._kept.mixture())
        elbo = row.get("elbo")
        if elbo is None or not math.isfinite(elbo):
            elbo = -math.inf
        self._values.append(elbo)
        if len(self._values) < BLOCK:
            return None
        values, self._values = np.array(self._values), []
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
        if self.judge is not None:
            low = middle = high = values[-1] = self._judgment(self._mixture_fn())
        is_calm = np.isfinite(low) and high - low <= self._calm
        if not is_calm or middle < self.best_elbo - 0.5 * self._calm:
            has_best = math.isfinite(self.best_elbo)
            self.had_relapse |= has_best
            self._relapses += has_best
            if not has_best or self._convergence is None:
                return None
            is_over = self._relapses >= MAX_RELAPSES
            return StopReason.CONVERGED if is_over else self._judged(row, self.best_elbo)
        self._relapses = 0
        if middle >= self.best_elbo and abs(values[-1] - middle) <= self._calm:
            self._kept.assign(self._mixture_fn())
            self.best_elbo = float(middle)
            self.had_relapse = False
        return None if self._convergence is None else self._judged(row, float(middle))

    def begin_again(self) -> None:
        """Forgets the blocks that the stop rule has seen, not the best mixture."""
        self._relapses = 0
        if self._convergence is not None:
            self._convergence.restore([])

    def rule(self) -> list[float] | None:
        """Settings of the stop rule."""
        return None if self._convergence is None else self._convergence.rule()

    def state(self) -> dict:
        """What a checkpoint has to keep beside the mixture."""
        return {
            "values": self._values,
            "relapses": self._relapses,
            "best_elbo": self.best_elbo,
            "had_relapse": self.had_relapse,
            "num_judgments": self.num_judgments,
            "convergence": None if self._convergence is None else self._convergence.state(),
        }

    def restore(self, state: dict) -> None:
        """Takes back what `state` gave."""
        self._values = list(state["values"])
        self._relapses, self.had_relapse = state["relapses"], state["had_relapse"]
        self.best_elbo = state["best_elbo"]
        self.num_judgments = state.get("num_judgments", 0)
        if self._convergence is not None and state["convergence"] is not None:
            self._convergence.restore(state["convergence"])

    def _judgment(self, mixture: Mixture) -> float:
        """The ELBO by the judge; minus infinity where it is not finite."""
        if self.judge is None:
            raise ValueError("there is nothing that judges mixtures.")
        self.num_judgments += 1
        elbo = self.judge(mixture)
        return elbo if math.isfinite(elbo) else -math.inf

    def _judged(self, row: dict, level: float) -> StopReason | None:
        """What the stop rule says of a block at this level."""
        count = row.get("num_target_evaluations", 0)
        if self._convergence is None:
            return None
        return self._convergence({"elbo": level, "num_target_evaluations": count})
