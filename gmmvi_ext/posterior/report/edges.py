"""Does a posterior have mass that its bijectors and float format do not resolve?

See `gmmvi_ext.constraints.edges`: beyond the last resolved point a target's density is lost, or
continued by a straight line. The line is trusted if the density is straight for two steps before
it, each to an eighth of the distance from the bound.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints import edges
from gmmvi_ext.posterior.importance.draws import evaluate_target
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.continuation import SECANT_STEP
from gmmvi_ext.targets.mapped import in_own_coordinates

__all__ = ["LostEdge", "find_lost_edge"]

MIN_SHARE = 0.005  # of the draws: less does not change a result that is right to 0.01
MAX_CHECKED = 500  # draws
MAX_BEND, SMALLEST_SLOPE = 0.25, 0.01  # relative change of the slope from step to step
PROBE_SEED = 0


class LostEdge(NamedTuple):
    """Mass at the edge of a support with an unknown density.

    Attributes:
      name: of the parameter.
      share: of the draws that sit there.
      is_continued: whether the density is continued, though not straight.
      dtype: name of the float format.
    """

    name: str
    share: float
    is_continued: bool
    dtype: str


def find_lost_edge(
    target: Target, x: np.ndarray, *, max_checked: int = MAX_CHECKED
) -> LostEdge | None:
    """The parameter with most draws whose density is not known, if they are enough to matter.

    Args:
      target: log density; evaluated at some hundred points if many draws sit at an edge.
      x: unconstrained draws of the mixture, [N, D].
      max_checked: of those at an edge, the most that are looked at, each with three evaluations.
    """
    target, x = in_own_coordinates(target, x)
    layout = target.layout
    if layout.is_identity or len(x) == 0:
        return None
    points = tf.constant(x, target.dtype)
    at_edge, beyond = (f(layout, points).numpy() for f in (edges.at_edge, edges.beyond_held))
    if not target.continues_edges:
        at_edge, beyond = at_edge | beyond, np.zeros_like(beyond)
    found = []
    for name, part in layout.columns.items():
        share = float((at_edge & ~beyond)[:, part].any(axis=1).mean())
        found.append(LostEdge(name, share, False, target.dtype.name))
        rows = np.flatnonzero(beyond[:, part].any(axis=1))
        if len(rows) >= MIN_SHARE * len(x):
            is_part = np.zeros(x.shape[1], bool)
            is_part[part] = True
            some = rows[:: max(1, len(rows) // max_checked)][:max_checked]
            bent = _share_bent(target, points, some, is_part)
            found.append(LostEdge(name, bent * len(rows) / len(x), True, target.dtype.name))
    worst = max(found, key=lambda each: each.share)
    return worst if worst.share >= MIN_SHARE else None


def _share_bent(target: Target, points: tf.Tensor, rows: np.ndarray, part: np.ndarray) -> float:
    """Share of some points beyond `held` before which the density is not straight."""
    x = tf.gather(points, rows)
    held = target.layout.held(x).numpy()
    inward = -SECANT_STEP * np.sign(x.numpy() - held) * part
    values = [
        evaluate_target(target, (held + k * inward).astype(held.dtype), PROBE_SEED)
        for k in range(3)
    ]
    with np.errstate(invalid="ignore"):
        near, far = (values[k].astype(float) - values[k + 1] for k in range(2))
        rounding = 8.0 * np.finfo(held.dtype).eps * np.abs(values[0])
        allowed = MAX_BEND * np.maximum(np.abs(near), SMALLEST_SLOPE * SECANT_STEP) + rounding
        return float(np.mean(~(np.abs(near - far) <= allowed)))
