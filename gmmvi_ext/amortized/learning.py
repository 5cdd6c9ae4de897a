"""Training of a model on data in memory, from one call to the curves of its figures."""

import dataclasses
import inspect
import math
import time
from collections.abc import Callable

import numpy as np

from gmmvi_ext.amortized.checks import checked_data, count
from gmmvi_ext.amortized.evaluation import BoundEvaluator
from gmmvi_ext.amortized.model import LatentVariableModel
from gmmvi_ext.amortized.trainer import VAETrainer
from gmmvi_ext.ranges import require, require_function
from gmmvi_ext.registry import did_you_mean

__all__ = ["History", "fit_model"]

MAX_TRAINING_DATA = 500  # behind the evaluated figures where no data are held out
_TRAINER_KEYS = ("optimizers", "objective", "jit_compile")
_TRAINING_KEYS = ("loss", "elbo_estimate", "distortion", "rate", "control_loss", "rate_weight")


@dataclasses.dataclass(frozen=True)
class History:
    """Figures of a training, row by row, under the names of `metrics.jsonl`.

    The first row is before the first step. `loss`, `elbo_estimate`, `distortion`, `rate` and
    `control_loss` are means over the steps since the row before; `elbo`, `elbo_se`,
    `evaluation_distortion`, `evaluation_rate` and `log_prob_estimate` are of the held-out data, or
    of 500 training data where none are held out.

    Attributes:
      rows: each with `iteration` and `train_seconds`.
      stopped_early: whether patience ran out.

    Example:
        >>> from gmmvi_ext.amortized import History
        >>> history = History([{"iteration": 0, "elbo": -9.0}, {"iteration": 10, "elbo": -4.0}])
        >>> history.rows[-1]["elbo"], history.stopped_early
        (-4.0, False)
    """

    rows: list[dict]
    stopped_early: bool = False

    def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Iterations [T] and values [T] of a figure, over the rows that have it."""
        have = [row for row in self.rows if row.get(name) is not None]
        if not have:
            known = sorted({key for row in self.rows for key in row})
            raise KeyError(f"no row has {name!r}; there are {', '.join(known)}.")
        pairs = [(row["iteration"], row[name]) for row in have]
        steps, values = np.array(pairs, np.float64).T
        return steps.astype(np.int64), values

    def __str__(self) -> str:
        names = ("iteration", "elbo", "elbo_estimate", "distortion", "rate")
        lines = ["".join(f"{name:>15}" for name in names)]
        for row in self.rows:
            values = (row.get(name) for name in names)
            texts = ("" if v is None else f"{v:.6g}" for v in values)
            lines.append("".join(f"{text:>15}" for text in texts))
        return "\n".join(lines)


def fit_model(
    model: LatentVariableModel,
    x,
    *,
    num_steps: int | None = None,
    num_epochs: int | None = None,
    dev: int | float | np.ndarray = 0,
    patience: int | None = None,
    log_interval: int = 100,
    num_evaluation_samples: int = 10,
    on_row: Callable[[dict], object] | None = None,
    batch_size: int = 128,
    seed: int = 0,
    resample: bool = False,
    **settings,
) -> History:
    """Trains a model in place; with data held out, it ends with its best parameters.

    Args:
      model: trained in place.
      x: data [N, *event].
      num_steps: minibatches; 1500 unless `num_epochs` is given.
      num_epochs: passes over the data instead.
      dev: held-out data [n, *event], or how many of `x`, or which share below 1: a random part.
      patience: rows without a better ELBO on held-out data after which training ends; None never.
      log_interval: steps between rows.
      num_evaluation_samples: draws for each datum behind an evaluated figure.
      on_row: called with each row, `print` for example.
      batch_size: data of a step; no more than there are.
      seed: of everything random.
      resample: draw binary pixels anew each step, `x` being their probabilities.
      settings: `optimizers`, `objective` and `jit_compile` of `VAETrainer`.

    Raises:
      ValueError: data or settings that do not fit; a first step that is not finite.
    """
    unknown = sorted(set(settings) - set(_TRAINER_KEYS))
    if unknown:
        known = (*inspect.signature(fit_model).parameters, *_TRAINER_KEYS)
        raise TypeError(f"`fit` has no setting {unknown[0]!r}.{did_you_mean(unknown[0], known)}")
    for name, value in (("num_steps", num_steps), ("num_epochs", num_epochs)):
        if value is not None:
            count(name, value)
    count("log_interval", log_interval, minimum=1)
    count("batch_size", batch_size, minimum=1)
    count("seed", seed)
    if patience is not None:
        count("patience", patience, minimum=1)
    if on_row is not None:
        require_function("on_row", on_row, "a row of figures (a dict)")
    x = checked_data(x, model.event_shape, name="training data")
    x, held_out = _split(x, dev, seed, model.event_shape)
    require(
        patience is None or len(held_out) > 0,
        "patience",
        "left out where no data are held",
        patience,
    )
    require(num_steps is None or num_epochs is None, "num_epochs", "left out", num_epochs)
    batch_size = min(batch_size, len(x))
    trainer = VAETrainer(model, x, batch_size=batch_size, seed=seed, resample=resample, **settings)
    if num_epochs is not None:
        num_steps = num_epochs * (len(x) // batch_size)
    evaluated = held_out if len(held_out) else x[:MAX_TRAINING_DATA]
    if resample:
        evaluated = np.round(evaluated)
    evaluate = BoundEvaluator(model, evaluated, num_samples=num_evaluation_samples, seed=seed)
    run = _Run(trainer, evaluate, on_row, keeps_best=len(held_out) > 0, patience=patience)
    run.take(1500 if num_steps is None else num_steps, log_interval)
    return History(run.rows, run.is_out_of_patience)


def _split(x, dev, seed: int, event_shape) -> tuple[np.ndarray, np.ndarray]:
    """Training data and held-out data, a random part where `dev` is a number."""
    if np.ndim(dev) > 0:
        return x, checked_data(dev, event_shape, name="dev")
    is_number = isinstance(dev, (int, float, np.number)) and (
        0 <= dev < 1 or float(dev).is_integer()
    )
    require(is_number, "dev", "a share below 1, a whole number of data, or data", dev)
    number = math.floor(dev * len(x)) if 0 < dev < 1 else int(dev)
    require(0 <= number < len(x), "dev", f"at least 0 and below the number of data, {len(x)}", dev)
    order = np.random.default_rng(seed).permutation(len(x))
    return (x[order[number:]], x[order[:number]]) if number else (x, x[:0])


class _Run:
    """Steps, rows, and what patience has seen."""

    def __init__(self, trainer, evaluate, on_row, *, keeps_best: bool, patience: int | None):
        self._trainer, self._evaluate, self._on_row = trainer, evaluate, on_row
        self._keeps_best, self._patience = keeps_best, patience
        self._num_worse = 0
        self._seconds = 0.0
        self.rows: list[dict] = []

    @property
    def is_out_of_patience(self) -> bool:
        return self._patience is not None and self._num_worse >= self._patience

    def take(self, num_steps: int, log_interval: int) -> None:
        self._write(0, [])
        steps: list[dict] = []
        for iteration in range(1, num_steps + 1):
            begin = time.perf_counter()
            steps.append(self._trainer.step())
            self._seconds += time.perf_counter() - begin
            if iteration % log_interval == 0 or iteration == num_steps:
                self._write(iteration, steps)
                steps = []
                if self.is_out_of_patience:
                    break
        if self._keeps_best:
            self._trainer.restore_best()

    def _write(self, iteration: int, steps: list[dict]) -> None:
        row: dict = {"iteration": iteration, "train_seconds": self._seconds}
        for key in _TRAINING_KEYS if steps else ():
            row[key] = float(np.mean([step[key].numpy() for step in steps]))
        row |= self._evaluate().row()
        self.rows.append(row)
        if not math.isfinite(row["elbo"]):
            raise ValueError(
                f"the ELBO is {row['elbo']} after {iteration} steps. {self._trainer.remedy}"
            )
        if self._keeps_best:
            is_better = self._trainer.keep_best(row["elbo"])
            self._num_worse = 0 if is_better else self._num_worse + 1
        if self._on_row is not None:
            self._on_row(row)
