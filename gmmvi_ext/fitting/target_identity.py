"""Is the target of a work directory still the one that its fit began with?

A configuration does not say what a Python function computes. So the first session writes down the
layout of the parameters and the log density at three fixed points; every later one compares.
"""

import json
from pathlib import Path

import numpy as np

from gmmvi_ext.confined import read_json
from gmmvi_ext.posterior.importance.draws import evaluate_target
from gmmvi_ext.targets.base import Target
from gmmvi_ext.training.writers import write_json

__all__ = ["changes_of_target", "target_identity"]

NUM_POINTS = 3
RTOL, ATOL = 1e-4, 1e-3  # other threads and machines sum in another order


def target_identity(target: Target) -> dict:
    """Plain data that two different targets hardly share.

    Args:
      target: evaluated at three points, unless its values are noisy.
    """
    values: list[float | None] = []
    if not target.is_stochastic:
        shape = (NUM_POINTS, target.num_dimensions)
        points = np.random.default_rng(0).standard_normal(shape)
        found = evaluate_target(target, points, 0)
        values = [float(each) if np.isfinite(each) else None for each in found]
    return {
        "num_dimensions": target.num_dimensions,
        "parameters": target.layout.spec(),
        "values": values,
    }


def changes_of_target(target: Target, path: Path) -> list[str]:
    """What differs from the target that `path` tells of; writes the file if there is none.

    Args:
      target: of this session.
      path: JSON file; one that cannot be read is written anew.
    """
    mine = json.loads(json.dumps(target_identity(target)))
    theirs = read_json(path, None) or {}
    before: list = [theirs.get(key) for key in ("num_dimensions", "parameters", "values")]
    if not (type(before[0]) is int and isinstance(before[1], dict) and _is_list(before[2])):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, mine)
        return []
    changes = []
    if before[0] != mine["num_dimensions"]:
        return [f"{before[0]} dimensions -> {mine['num_dimensions']}"]
    if before[1] != mine["parameters"]:
        changes.append("names, shapes or constraints of the parameters")
    for one, other in zip(before[2], mine["values"], strict=False):
        # A host function may fail for the moment: what is not finite tells nothing.
        if one is not None and other is not None and not np.isclose(one, other, RTOL, ATOL):
            changes.append(f"the log density of one point: {one:g} -> {other:g}")
            break
    return changes


def _is_list(values) -> bool:
    """Whether these are numbers, or nulls, in a list."""
    return isinstance(values, list) and all(
        each is None or type(each) in (int, float) for each in values
    )
