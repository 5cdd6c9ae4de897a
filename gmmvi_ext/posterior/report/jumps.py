"""Do gradients miss what the values of a target do, as with likelihoods made of steps?

Along segments between draws the trapezoidal rule turns gradients into differences of values. Where
a density is smooth, or has kinks, it errs by no more than the change of the gradient over a short
step; a jump is missed whole, however short the step. So a step that errs by more is divided.
"""

import numpy as np

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.targets.base import Target

__all__ = ["missed_jumps"]

NUM_SEGMENTS, NUM_STEPS = 16, 24
SMALLEST = 0.2  # nats of a jump
ROUNDINGS = 16.0
MIN_SHARE = 0.25  # of the segments
PERSISTING = 0.5  # share of what was missed on a step that is missed on short ones
LEAST = 2.0  # nats on a segment: less comes of many modes between its ends


def missed_jumps(
    target: Target, draws: np.ndarray, seed: int = 0, *, num_segments: int = NUM_SEGMENTS
) -> float:
    """Nats by which gradients miss the difference between two draws, 0 where they do not.

    Args:
      target: log density with a gradient; evaluated at 25 points of each segment, and at as many
        of the worst step of each that seems to cross a jump.
      draws: [S, D].
      seed: of the choice of pairs.
      num_segments: how many.

    Returns:
      the median over segments, if at least a quarter of them cross a jump and it is two or more, or
      0.2 where the gradient is zero everywhere.
    """
    if not target.has_gradient or target.exact is None:
        return 0.0
    counted = CountedTarget(target)
    number = min(len(draws), 2 * num_segments) // 2
    chosen = np.random.default_rng(seed).permutation(len(draws))[: 2 * number]
    x, missed, has_slope = _walked(counted, *draws[chosen].reshape(2, number, draws.shape[1]))
    total = missed.sum(axis=0)
    if not has_slope:  # then the gradient misses all of it, however smooth the way
        total = total[np.isfinite(total)]
        typical = float(np.median(total)) if len(total) else 0.0
        return typical if typical >= SMALLEST else 0.0
    seem = np.flatnonzero(total > 0.0)
    if len(seem) >= MIN_SHARE * number:
        worst = missed[:, seem].argmax(axis=0)
        begin, end = x[worst, seem], x[worst + 1, seem]
        _, again, _ = _walked(counted, begin, end, smallest=SMALLEST / NUM_STEPS)
        persists = again.sum(axis=0) >= PERSISTING * missed[worst, seem]
        total[seem[~persists]] = 0.0
    total = total[np.isfinite(total)]
    if not len(total) or np.mean(total > 0.0) < MIN_SHARE:
        return 0.0
    typical = float(np.median(total[total > 0.0]))
    return typical if typical >= LEAST else 0.0


def _walked(counted: CountedTarget, first, last, smallest: float = SMALLEST):
    """Points of the segments from `first` to `last` [P, D] in T steps, [T + 1, P, D]; nats that
    gradients miss on each step, [T, P]; and whether any gradient is other than zero.

    Args:
      counted: the target, with gradients.
      first, last: ends of the segments.
      smallest: nats that are allowed on a step in any case.
    """
    at = np.linspace(0.0, 1.0, NUM_STEPS + 1)[:, np.newaxis, np.newaxis]
    x = first + at * (last - first)
    loss, slope = counted.loss(x.reshape(-1, x.shape[2]))
    value = -loss.reshape(x.shape[:2])
    with np.errstate(invalid="ignore", over="ignore"):
        rise = np.einsum("tpd,pd->tp", -slope.reshape(x.shape), last - first) / NUM_STEPS
        gap = np.abs(np.diff(value, axis=0) - 0.5 * (rise[1:] + rise[:-1]))
        allowed = smallest + np.abs(np.diff(rise, axis=0))
        allowed += ROUNDINGS * counted.epsilon * np.abs(value[1:])
        # Coordinates are rounded, too: far out by more than the density is wide.
        moved = np.sum(np.abs(x * slope.reshape(x.shape)), axis=2)
        allowed += ROUNDINGS * counted.epsilon * np.maximum(moved[1:], moved[:-1])
        has_slope = bool(slope.any())
        return x, np.where((gap > allowed) | (not has_slope), gap, 0.0), has_slope
