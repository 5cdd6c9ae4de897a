"""The table of modes: where they are, how much mass they hold, how often searches found them."""

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior.importance.draws import ScoredDraws

__all__ = ["mode_rows"]


def mode_rows(
    mixture: Mixture,
    layout: Layout,
    modes: diagnostics.Modes,
    draws: ScoredDraws | None,
    run_info: dict,
) -> list[dict]:
    """One dict for each mode, heaviest first.

    Args:
      mixture: on the unconstrained space.
      layout: to the constrained one.
      modes: of the mixture.
      draws: of it, with the target's values; None for none.
      run_info: of the fit; holds what searches have found.

    Returns:
      `mode`, `weight` (of its components), `mass` and `mass_se` (by importance weights, NaN
      without draws), `num_found` (searches that ended there; None where none are known),
      `num_components`, `log_prob` (of the mixture) and `location` (constrained, flat).
    """
    count = max(modes.count(), 1)  # those that the report counts
    mass, error = np.full(count, np.nan), np.full(count, np.nan)
    if draws is not None and np.isfinite(draws.log_ratios).any():
        member = modes.mode_of_component[draws.component_index]
        is_in = member[:, np.newaxis] == np.arange(count)  # [S, M]
        mass, error = diagnostics.weighted_mean(is_in, draws.smoothed().log_weights)
    found = _times_found(mixture, modes, run_info)
    location = layout.forward_flat(tf.constant(modes.location, mixture.dtype)).numpy()
    return [
        {
            "mode": i,
            "weight": float(modes.weight[i]),
            "mass": float(mass[i]),
            "mass_se": float(error[i]),
            "num_found": None if found is None else int(found[i]),
            "num_components": int(modes.num_components[i]),
            "log_prob": float(modes.log_prob[i]),
            "location": location[i].astype(np.float64).tolist(),
        }
        for i in range(count)
    ]


def _times_found(mixture: Mixture, modes: diagnostics.Modes, run_info: dict) -> np.ndarray | None:
    """Searches that ended in each mode [M]: those of an optimum count for the component there."""
    known = run_info.get("modes", {}).get("modes")
    if not known:
        return None
    places = tf.constant([each["location"] for each in known], tf.float64)
    nearest = np.argmax(mixtures.responsibilities(mixtures.cast(mixture, tf.float64), places), 1)
    found = np.zeros(len(modes.weight))
    member = modes.mode_of_component[nearest]
    is_in = member >= 0
    np.add.at(found, member[is_in], np.array([each["num_found"] for each in known])[is_in])
    return found
