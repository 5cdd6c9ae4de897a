"""The target of a search: NumPy in, NumPy out, every evaluation counted."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from gmmvi_ext.math.blas import callers_blas_threads
from gmmvi_ext.math.random import stream
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.mapped import in_own_coordinates

__all__ = ["CountedTarget", "Journal", "OutOfTime"]


class OutOfTime(Exception):
    """The time for evaluations is over; the target was not asked."""


class Journal(Protocol):
    """Keeps the answers of a target, so that a search that was killed does not ask again."""

    def answer(
        self, x: np.ndarray, evaluate: Callable[[np.ndarray], Sequence[np.ndarray]]
    ) -> list[np.ndarray]:
        """Arrays that `evaluate(x)` gave in an earlier session, or gives now."""


class CountedTarget:
    """The target in float64 NumPy, with a count of evaluations.

    Args:
      target: log density; where its values are noisy the exact ones are asked for, if there are.
      journal: keeps the answers on disk; None for none.
      deadline: `time.perf_counter()` from which on it is not asked any more: calls raise
        `OutOfTime`.

    Attributes:
      count: evaluations so far.
      best_point: where the highest finite value was, [D]; None before there is one.
    """

    def __init__(
        self, target: Target, journal: Journal | None = None, *, deadline: float = math.inf
    ):
        self.target = target.exact or target
        self.count = 0
        self.deadline = deadline
        self.best_point: np.ndarray | None = None
        self._best_value = -math.inf
        self._journal = journal
        self._seed = stream(0, "search")

    @property
    def epsilon(self) -> float:
        """Relative rounding of its numbers."""
        return float(np.finfo(self.target.dtype.as_numpy_dtype).eps)

    def values(self, x: np.ndarray) -> np.ndarray:
        """[N]; what is not finite is -inf."""
        (found,) = self._evaluated(x, lambda points: [self.target.values(points, self._seed)])
        return np.where(np.isfinite(found), found, -np.inf)

    def grads(self, x: np.ndarray) -> np.ndarray:
        """Gradients, [N, D]."""
        return self._evaluated(x, self._both)[1]

    def loss(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minus the log density [N] and its gradient [N, D]."""
        value, grad = self._evaluated(x, self._both)
        return -value, -grad

    def has_risen_beyond(self, x: np.ndarray) -> np.ndarray:
        """Which points lie where the density is nothing but the straight line it goes on as, [N].

        Where the float format of a constraint ends a target is continued like that. A line that
        falls has mass; one that rises, across several coordinates, does so for ever, and what is
        found there is of its making. So these are points that lie higher than where it begins.
        """
        if not len(x) or not self.target.layout.has_held:
            return np.zeros(len(x), bool)
        base, own = in_own_coordinates(self.target, x)
        points = tf.constant(own, base.dtype)
        held = base.layout.held(points)
        rows = np.flatnonzero(np.any(held.numpy() != points.numpy(), axis=1))
        has_risen = np.zeros(len(x), bool)
        if len(rows):
            self.count += 2 * len(rows)
            with callers_blas_threads():
                there, begin = (
                    np.asarray(base.values(tf.gather(each, rows), self._seed))
                    for each in (points, held)
                )
            has_risen[rows] = there > begin
        return has_risen

    def _both(self, points: tf.Tensor):
        return self.target.values_and_grads(points, self._seed)

    def _evaluated(self, x: np.ndarray, evaluate) -> list[np.ndarray]:
        if time.perf_counter() >= self.deadline:
            raise OutOfTime
        self.count += len(x)

        def fresh(points):
            with callers_blas_threads():
                return evaluate(tf.constant(points, self.target.dtype))

        found = fresh(x) if self._journal is None else self._journal.answer(x, fresh)
        arrays = [np.asarray(each, float) for each in found]
        if len(x):
            values = np.where(np.isfinite(arrays[0]), arrays[0], -np.inf)
            row = int(np.argmax(values))
            if values[row] > self._best_value:
                self._best_value, self.best_point = float(values[row]), np.array(x[row], float)
        return arrays
