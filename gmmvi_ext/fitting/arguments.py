"""Arguments of `fit` that are refused before anything is evaluated: a ValueError names each."""

import os
from collections.abc import Iterable
from numbers import Integral, Real

import tensorflow as tf

__all__ = ["check_calls", "check_limits", "check_workdir", "checked_dtype"]


def check_limits(max_evaluations, max_seconds, max_components) -> None:
    """Refuses limits that are neither None nor positive numbers."""
    limits = {"max_evaluations": max_evaluations, "max_seconds": max_seconds}
    for name, value in (limits | {"max_components": max_components}).items():
        if value is not None and not (isinstance(value, Real) and float(value) > 0):
            raise ValueError(f"`{name}` must be positive or None, got {value!r}.")
    if max_components is not None and max_components != int(max_components):
        raise ValueError(f"`max_components` must be an integer or None, got {max_components!r}.")


def checked_dtype(dtype) -> tf.DType:
    """The floating type that `dtype` names."""
    try:
        found = tf.as_dtype(dtype)
    except TypeError:
        found = None
    if found not in (tf.float32, tf.float64):
        raise ValueError(f"`dtype` must be tf.float32 or tf.float64, got {dtype!r}.")
    return found


def check_calls(seed, callbacks) -> None:
    """Refuses what training would stumble over only after the search for a start."""
    if not tf.executing_eagerly():
        raise RuntimeError(
            "a fit decides as it goes and cannot be part of a graph: call it outside of "
            "`tf.function` and `tf.Graph`; `posterior.distribution` can be used inside."
        )
    if tf.distribute.has_strategy():
        raise RuntimeError(
            "a fit cannot run inside `strategy.scope()`: call it outside with strategy='mirrored', "
            "or with the strategy itself: strategy=strategy."
        )
    if not isinstance(seed, Integral):
        raise ValueError(f"`seed` must be an integer, got {seed!r}.")
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        raise ValueError(
            "`callbacks` must be a list of functions of a row of metrics, e.g. [callback], got "
            f"{callbacks!r}."
        )
    wrong = [each for each in callbacks if not callable(each)]
    if wrong:
        raise ValueError(
            f"`callbacks` must be functions of a row of metrics (a dict), got {wrong[0]!r}."
        )


def check_workdir(workdir) -> None:
    """Refuses what is no path of a folder."""
    is_path = isinstance(workdir, str | os.PathLike) and str(workdir).strip() != ""
    if workdir is not None and (not is_path or "\0" in str(workdir)):
        raise ValueError(f"`workdir` must be the path of a folder or None, got {workdir!r}.")
