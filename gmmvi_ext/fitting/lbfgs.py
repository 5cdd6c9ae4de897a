"""L-BFGS from many points at once (Nocedal and Wright, 2006, algorithm 7.4).

The line search looks for a weak Wolfe point by bisection (Lewis and Overton, 2013); a round of all
line searches is one batch of evaluations. Plain NumPy on purpose: `tfp.optimizer.lbfgs_minimize`
takes 4 to 12 s to trace and 0.3 s an iteration without a graph, for some 25 iterations.
"""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["minimise"]

MEMORY = 10
ARMIJO, WOLFE = 1e-4, 0.9
MAX_LINE_SEARCH = 20
TOLERANCE = 1e-3  # largest entry of the gradient at which a run has arrived


def minimise(
    fn: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    points: np.ndarray,
    save_at: Sequence[int],
    max_evaluations: float,
    largest: float = np.inf,
) -> list[np.ndarray]:
    """Where the runs are after given numbers of iterations.

    Args:
      fn: values [n] and gradients [n, D] at points [n, D]; values that are not finite are walls.
      points: where the runs begin, [R, D].
      save_at: iterations, ascending.
      max_evaluations: most points that `fn` may be asked for; the runs end where they are when it
        does not stretch to the next round.
      largest: absolute coordinate beyond which `fn` is never asked.

    Returns:
      positions [R, D] at every one of `save_at`, the latest last; the last one once more for
      those that were not reached.
    """
    budget = _Budget(fn, max_evaluations, largest)
    x = np.array(points, float)
    if not budget.covers(len(x)):
        return [x] * len(save_at)
    value, grad = budget.spend(x)
    is_running = np.isfinite(value)
    # Length of a step along the gradient, until there is curvature to tell: a move of at most one.
    scale = np.minimum(1.0, 1.0 / np.maximum(np.linalg.norm(grad, axis=1), 1e-300))
    history: deque = deque(maxlen=MEMORY)
    seen = []
    for iteration in range(1, save_at[-1] + 1):
        is_running &= np.max(np.abs(grad), axis=1) > TOLERANCE
        if is_running.any():
            direction = _direction(grad, history, scale)
            new, new_value, new_grad = _line_search(budget, x, value, grad, direction, is_running)
            step, change = new - x, new_grad - grad
            curvature = np.sum(step * change, axis=1)
            squares = np.sum(change * change, axis=1)
            usable = curvature > 1e-10 * squares
            history.append(
                (
                    step,
                    change,
                    np.divide(1.0, curvature, where=usable, out=np.zeros_like(curvature)),
                )
            )
            np.divide(curvature, squares, where=usable, out=scale)
            is_running &= np.any(step != 0, axis=1)
            x, value, grad = new, new_value, new_grad
        if iteration in save_at:
            seen.append(x)
    return seen


class _Budget:
    """The function, as long as there are evaluations left; infinite where it is not finite."""

    def __init__(self, fn: Callable, left: float, largest: float):
        self._fn = fn
        self._left = left
        self._largest = largest

    def covers(self, count: int) -> bool:
        return count <= self._left

    def spend(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, grad = np.full(len(x), np.inf), np.zeros_like(x)
        inside = np.flatnonzero(np.max(np.abs(x), axis=1) <= self._largest)
        if len(inside):
            self._left -= len(inside)
            found, slope = self._fn(x[inside])
            finite = np.isfinite(found) & np.isfinite(slope).all(axis=1)
            value[inside[finite]], grad[inside[finite]] = found[finite], slope[finite]
        return value, grad


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


def _line_search(budget: _Budget, x, value, grad, direction, is_running):
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
        if not len(rows) or not budget.covers(len(rows)):
            break
        trial = x[rows] + length[rows, None] * direction[rows]
        trial_value, trial_grad = budget.spend(trial)
        is_lower = trial_value <= value[rows] + ARMIJO * length[rows] * slope[rows]
        better = rows[is_lower]
        new[better], new_value[better] = trial[is_lower], trial_value[is_lower]
        new_grad[better] = trial_grad[is_lower]
        is_flat = np.sum(trial_grad * direction[rows], axis=1) >= WOLFE * slope[rows]
        is_searching[rows[is_lower & is_flat]] = False
        low[better], high[rows[~is_lower]] = length[better], length[rows[~is_lower]]
        length = np.where(np.isfinite(high), 0.5 * (low + high), 2.0 * length)
    return new, new_value, new_grad
