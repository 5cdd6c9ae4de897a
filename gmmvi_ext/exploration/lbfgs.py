"""L-BFGS from many points at once (Nocedal and Wright, 2006, algorithm 7.4).

The line search looks for a weak Wolfe point by bisection (Lewis and Overton, 2013); a round of all
line searches is one batch of evaluations. Plain NumPy on purpose: `tfp.optimizer.lbfgs_minimize`
takes 4 to 12 s to trace and 0.3 s an iteration without a graph, for some 25 iterations.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Runs", "minimize"]

MEMORY = 10
ARMIJO, WOLFE = 1e-4, 0.9
MAX_LINE_SEARCH = 20
TOLERANCE = 1e-3  # largest entry of the gradient at which a run has arrived
DECREMENT = 1e-5  # squared distance to the minimum, in units of the curvature, likewise
PATIENCE = 3  # iterations in a row that promise no more: few know the flat directions yet
LONGEST = 1e6  # first step along the gradient
ROUNDING = 8.0  # roundings of the value that a step has to promise


class Runs(NamedTuple):
    """Where the runs ended, and were on their way.

    Attributes:
      saved: positions [R, D] at every one of `save_at`; the last one once more for those that were
        not reached.
      x, value, grad: at the end, [R, D], [R], [R, D].
      has_rested: which came to rest: no step that would lower the value was left, [R].
      is_done: which `is_done` ended, [R].
    """

    saved: list[np.ndarray]
    x: np.ndarray
    value: np.ndarray
    grad: np.ndarray
    has_rested: np.ndarray
    is_done: np.ndarray


@np.errstate(over="ignore", invalid="ignore")  # gradients too large to square
def minimize(
    fn: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    points: np.ndarray,
    save_at: Sequence[int],
    max_evaluations: float,
    largest: float = np.inf,
    *,
    scale: np.ndarray | None = None,
    lowest: float | None = None,
    epsilon: float = 0.0,
    is_done: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Runs:
    """Runs from many points at once.

    Args:
      fn: values [n] and gradients [n, D] at points [n, D]; values that are not finite are walls.
      points: where the runs begin, [R, D].
      save_at: iterations, ascending; the last is the most that are made.
      max_evaluations: most points that `fn` may be asked for; the runs end where they are when it
        does not stretch to the next round.
      largest: absolute coordinate beyond which `fn` is never asked.
      scale: of every run, [R, D, D] or its diagonal [R, D]: steps are measured in it, and the first
        one is a whole quasi-Newton step. None starts with a move of at most one along the gradient.
      lowest: about the value of a minimum, where one is known: the first step along the gradient is
        the one that would lead there (Polyak, 1987; exact in a round bowl), so that a run stays in
        a bowl that is much narrower than `scale`.
      epsilon: of the float format in which `fn` is computed: steps that promise less than values
        are rounded by are not tried.
      is_done: says of positions [R, D] and values [R] which runs need not go on, bool [R].
    """
    asked = _Asked(fn, max_evaluations, largest, scale)
    z = asked.inward(np.array(points, float))
    rows = np.arange(len(z))
    ended = np.zeros(len(z), bool)
    if not asked.covers(len(z)):
        unmoved = asked.outward(z, rows)
        nothing = np.full(len(z), np.inf), np.zeros_like(z)
        return Runs([unmoved] * len(save_at), unmoved, *nothing, ended, ended)
    value, grad = asked.spend(z, rows)
    is_running = np.isfinite(value)
    rested = ended.copy()
    # Length of a step along the gradient, until there is curvature to tell: a move of at most one.
    step_scale = np.minimum(1.0, 1.0 / np.maximum(np.linalg.norm(grad, axis=1), 1e-300))
    if scale is not None:
        step_scale = np.ones(len(z))
    if lowest is not None:
        steep = np.maximum(np.sum(grad**2, axis=1), 1e-300)
        promise = np.where(is_running, value, lowest) - lowest
        step_scale = np.where(promise > 0.0, np.minimum(2.0 * promise / steep, LONGEST), step_scale)
    knows_curvature = np.full(len(z), scale is not None)
    slow = np.zeros(len(z), int)
    history: deque = deque(maxlen=MEMORY)
    saved = []
    for iteration in range(1, save_at[-1] + 1):
        if is_done is not None and is_running.any():
            ended |= is_running & is_done(asked.outward(z, rows), value)
            is_running &= ~ended
        is_at_rest = is_running & (np.max(np.abs(grad), axis=1) <= TOLERANCE)
        rested |= is_at_rest
        is_running &= ~is_at_rest
        if is_running.any():
            direction = _direction(grad, history, step_scale)
            promise = -np.sum(grad * direction, axis=1)
            least = np.maximum(
                DECREMENT, ROUNDING * epsilon * np.abs(np.where(is_running, value, 0.0))
            )
            slow = np.where(knows_curvature & (promise <= least), slow + 1, 0)
            is_at_rest = is_running & (slow >= PATIENCE)
            rested |= is_at_rest
            is_running &= ~is_at_rest
            new, new_value, new_grad = _line_search(asked, z, value, grad, direction, is_running)
            step, change = new - z, new_grad - grad
            curvature = np.sum(step * change, axis=1)
            squares = np.sum(change * change, axis=1)
            usable = curvature > 1e-10 * squares
            knows_curvature = np.where(is_running, usable, knows_curvature)
            history.append(
                (
                    step,
                    change,
                    np.divide(1.0, curvature, where=usable, out=np.zeros_like(curvature)),
                )
            )
            np.divide(curvature, squares, where=usable, out=step_scale)
            has_moved = np.any(step != 0, axis=1)
            if asked.covers(len(rows)):
                rested |= is_running & ~has_moved
            is_running &= has_moved
            z, value, grad = new, new_value, new_grad
        if iteration in save_at:
            saved.append(asked.outward(z, rows))
    return Runs(saved, asked.outward(z, rows), value, asked.gradient(grad, rows), rested, ended)


class _Asked:
    """The function in the coordinates of the runs, as long as there are evaluations left.

    Infinite where it is not finite.
    """

    def __init__(self, fn: Callable, left: float, largest: float, scale: np.ndarray | None):
        self._fn = fn
        self._left = left
        self._largest = largest
        self._scale = scale

    def covers(self, count: int) -> bool:
        return count <= self._left

    def inward(self, x: np.ndarray) -> np.ndarray:
        if self._scale is None:
            return x
        if self._scale.ndim == 2:
            return x / self._scale
        return np.linalg.solve(self._scale, x[:, :, np.newaxis])[:, :, 0]

    def outward(self, z: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self._scale is None:
            return z
        if self._scale.ndim == 2:
            return z * self._scale[rows]
        return np.einsum("rij,rj->ri", self._scale[rows], z)

    def slope(self, grad: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The gradient with respect to z of that with respect to x."""
        if self._scale is None:
            return grad
        if self._scale.ndim == 2:
            return grad * self._scale[rows]
        return np.einsum("rij,ri->rj", self._scale[rows], grad)

    def gradient(self, slope: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The inverse of `slope`."""
        if self._scale is None:
            return slope
        if self._scale.ndim == 2:
            return slope / self._scale[rows]
        transposed = self._scale[rows].swapaxes(1, 2)
        return np.linalg.solve(transposed, slope[:, :, np.newaxis])[:, :, 0]

    def spend(self, z: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = self.outward(z, rows)
        value, grad = np.full(len(x), np.inf), np.zeros_like(x)
        inside = np.flatnonzero(np.max(np.abs(x), axis=1) <= self._largest)
        if len(inside):
            self._left -= len(inside)
            found, slope = self._fn(x[inside])
            finite = np.isfinite(found) & np.isfinite(slope).all(axis=1)
            value[inside[finite]], grad[inside[finite]] = found[finite], slope[finite]
        return value, self.slope(grad, rows)


def _direction(grad: np.ndarray, history: deque, scale: np.ndarray) -> np.ndarray:
    """Minus the approximate inverse Hessian times the gradient, [R, D]: the two-loop recursion."""
    q, shares = grad.copy(), []
    for step, change, reciprocal in reversed(history):
        shares.append(reciprocal * np.sum(step * q, axis=1))
        q -= shares[-1][:, None] * change
    q *= scale[:, None]
    for (step, change, reciprocal), share in zip(history, reversed(shares), strict=True):
        q += (share - reciprocal * np.sum(change * q, axis=1))[:, None] * step
    is_descent = np.sum(q * grad, axis=1) > 0
    return -np.where(is_descent[:, None], q, scale[:, None] * grad)


def _line_search(asked: _Asked, x, value, grad, direction, is_running):
    """Points, values and gradients after a weak Wolfe step of every run, or the best on the way.

    A run for which no step lowers the value enough stays where it is.
    """
    slope = np.sum(direction * grad, axis=1)
    length, low = np.ones(len(x)), np.zeros(len(x))
    high = np.full(len(x), np.inf)
    new, new_value, new_grad = x.copy(), value.copy(), grad.copy()
    is_searching = is_running.copy()
    for _ in range(MAX_LINE_SEARCH):
        rows = np.flatnonzero(is_searching)
        if not len(rows) or not asked.covers(len(rows)):
            break
        trial = x[rows] + length[rows, None] * direction[rows]
        trial_value, trial_grad = asked.spend(trial, rows)
        is_lower = trial_value <= value[rows] + ARMIJO * length[rows] * slope[rows]
        better = rows[is_lower]
        new[better], new_value[better] = trial[is_lower], trial_value[is_lower]
        new_grad[better] = trial_grad[is_lower]
        is_flat = np.sum(trial_grad * direction[rows], axis=1) >= WOLFE * slope[rows]
        is_searching[rows[is_lower & is_flat]] = False
        low[better], high[rows[~is_lower]] = length[better], length[rows[~is_lower]]
        length = np.where(np.isfinite(high), 0.5 * (low + high), 2.0 * length)
    return new, new_value, new_grad
