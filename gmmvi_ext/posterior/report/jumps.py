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
LEAST = 2.0  # nats on a segment: less comes of many modes between its ends


def missed_jumps(
    target: Target, draws: np.ndarray, seed: int = 0, *, num_segments: int = NUM_SEGMENTS
) -> float:
    """Nats by which gradients miss the difference between two draws, 0 where they do not.

    Args:
      target: log density with a gradient; evaluated at 25 points of each segment, and once
        more at as many of each that seems to have a jump.
      draws: [S, D].
      seed: of the choice of pairs.
      num_segments: how many.

    Returns:
      the median over segments, if at least a quarter of them cross a jump and it is two or more.
    """
    if not target.has_gradient or target.exact is None:
        return 0.0
    counted = CountedTarget(target)
    first, last = draws[np.random.default_rng(seed).permutation(len(draws))[: 2 * num_segments]][
        : 2 * (min(len(draws), 2 * num_segments) // 2)
    ].reshape(2, -1, draws.shape[1])
    x, gap, change, rounding = _along(counted, first, last)
    with np.errstate(invalid="ignore"):
        beyond = np.abs(gap) - (SMALLEST + change + rounding)
        missed = np.where(beyond > 0.0, np.abs(gap), 0.0).sum(axis=0)
    doubtful = np.flatnonzero(np.isfinite(missed) & (missed > 0.0))
    if len(doubtful):
        # What rises and falls within one step passes for a jump until the step is divided.
        worst = np.argmax(beyond[:, doubtful], axis=0)
        _, gap, change, rounding = _along(counted, x[worst, doubtful], x[worst + 1, doubtful])
        allowed = SMALLEST + change.sum(axis=0) + rounding.max(axis=0)
        missed[doubtful[~(np.abs(gap.sum(axis=0)) > allowed)]] = 0.0
    missed = missed[np.isfinite(missed)]
    if not len(missed) or np.mean(missed > 0.0) < MIN_SHARE:
        return 0.0
    typical = float(np.median(missed[missed > 0.0]))
    return typical if typical >= LEAST else 0.0


def _along(counted: CountedTarget, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, ...]:
    """Points of the segments [T + 1, P, D]; for each step what the values rise by beyond the
    gradients' sum, how much that sum changes over the step, and what rounding may do to it, [T, P].
    """
    at = np.linspace(0.0, 1.0, NUM_STEPS + 1)[:, np.newaxis, np.newaxis]
    x = first + at * (last - first)
    loss, slope = counted.loss(x.reshape(-1, x.shape[2]))
    value, slope = -loss.reshape(x.shape[:2]), -slope.reshape(x.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        rise = np.einsum("tpd,pd->tp", slope, last - first) / NUM_STEPS
        gap = np.diff(value, axis=0) - 0.5 * (rise[1:] + rise[:-1])
        rounding = ROUNDINGS * counted.epsilon * np.abs(value[1:])
        # Coordinates are rounded, too: far out by more than the density is wide.
        moved = np.sum(np.abs(x * slope), axis=2)
        rounding += ROUNDINGS * counted.epsilon * np.maximum(moved[1:], moved[:-1])
        return x, gap, np.abs(np.diff(rise, axis=0)), rounding
