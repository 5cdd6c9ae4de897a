"""A look at the functions of a `MinibatchTarget`: at a few points, and at two rows of its data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.base import TargetError
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.checks import TRACE_SIZE, is_of_tracing, one_line, traced
from gmmvi_ext.tracing import TracedFunction
from gmmvi_ext.user_code import USER_ERRORS

__all__ = ["check_likelihood", "check_log_prior"]

TOLERANCE = 1e-3  # of the values, by which two rows may miss the sum of one and the other


def check_log_prior(prior: CallableTarget) -> bool:
    """Refuses a prior that gives no value for each point; says whether it has a gradient."""
    try:
        found = traced(prior)
    except USER_ERRORS as error:
        raise TargetError(_failure("log_prior", "a batch of points", error)) from error
    _check_result("log_prior", f"{TRACE_SIZE} points", found.shape, found.dtype)
    return len(found.without_gradient) < len(prior.layout.shapes or ["x"])


def check_likelihood(function: Callable, few: Any, num_dimensions: int, dtype: tf.DType) -> None:
    """Refuses a likelihood that gives no value for each point, or is no sum over the rows.

    Args:
      function: unconstrained points [N, D] and rows to log likelihoods [N].
      few: one row or two.
      num_dimensions: D.
      dtype: of the points.
    """
    leaves = tf.nest.flatten(few)
    count = int(leaves[0].shape[0])
    shapes = ", ".join(f"{each.dtype.name} {list(each.shape)}" for each in leaves)
    given = f"{TRACE_SIZE} points and {count} rows"
    found: dict[str, Any] = {}

    def run(x, rows):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            out = function(x, rows)
        found["shape"], found["dtype"] = tuple(out.shape), out.dtype
        found["gradient"] = tape.gradient(out, x) if out.dtype.is_floating else None
        return out

    noise = np.random.default_rng(0).standard_normal((TRACE_SIZE, num_dimensions))
    x = tf.constant(0.1 * noise, dtype)
    specs = [tf.nest.map_structure(tf.TensorSpec.from_tensor, each) for each in (x, few)]
    try:
        TracedFunction(run, *specs)
        rows = [slice(0, 1), slice(1, 2), slice(0, 2)][: 3 if count > 1 else 1]
        parts = [[each[row] for each in leaves] for row in rows]
        values = [function(x, tf.nest.pack_sequence_as(few, part)) for part in parts]
    except USER_ERRORS as error:
        what = f"{given} ({dtype.name}; rows: {shapes})"
        raise TargetError(_failure("log_likelihood", what, error)) from error
    _check_result("log_likelihood", given, found["shape"], found["dtype"])
    if found["gradient"] is None:
        raise TargetError(
            "the gradient of `log_likelihood` is None: something in it cuts the way back to the "
            "parameters (tf.numpy_function, tf.stop_gradient, rounding), or it does not use them."
        )
    if count > 1:
        _check_sum(*(np.asarray(each, float) for each in values))


def _check_sum(one: np.ndarray, other: np.ndarray, both: np.ndarray) -> None:
    """Refuses values at two rows that are not the sum of those at one and at the other."""
    usable = np.isfinite(one) & np.isfinite(other) & np.isfinite(both)
    allowed = TOLERANCE * (1.0 + np.abs(one) + np.abs(other))
    with np.errstate(invalid="ignore"):
        wrong = usable & (np.abs(one + other - both) > allowed)
    if usable.any() and wrong.sum() > 0.5 * usable.sum():
        n = int(np.argmax(wrong))
        raise TargetError(
            f"`log_likelihood` is no sum over the rows: {both[n]:.6g} at two of them, "
            f"{one[n]:.6g} at the one and {other[n]:.6g} at the other. Take tf.reduce_sum, no "
            "mean, over the rows, and leave prior terms to `log_prior`: a minibatch is scaled up "
            "to all rows."
        )


def _check_result(name: str, given: str, shape: tuple, dtype: tf.DType) -> None:
    if shape != (TRACE_SIZE,):
        if shape == ():
            hint = "it sums over the points as well"
        else:
            hint = "sum over all axes but that of the points"
        raise TargetError(
            f"`{name}` of {given} has shape {list(shape)}, expected [{TRACE_SIZE}], one number "
            f"for each point; {hint}."
        )
    if not dtype.is_floating:
        raise TargetError(f"`{name}` is of type {dtype.name}, expected a floating one.")


def _failure(name: str, given: str, error: BaseException) -> str:
    if is_of_tracing(error):
        return (
            f"`{name}` cannot be traced: {one_line(error)}. Write it in TensorFlow operations (no "
            "NumPy, no Python `if` on tensors)."
        )
    hint = "Check that `num_dimensions` or `shapes` says what it takes"
    if "type" in one_line(error):
        hint = (
            "Floating data come in `dtype`, whole numbers as they are (tf.cast(rows, tf.float32))"
        )
    return f"`{name}` fails at {given}: {one_line(error)}. {hint}."
