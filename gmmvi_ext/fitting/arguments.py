"""Arguments of `fit` that are refused before anything is evaluated: a ValueError names each."""

from collections.abc import Mapping, Sequence
from numbers import Integral

import tensorflow as tf

from gmmvi_ext.ranges import checked_limit
from gmmvi_ext.whole_files import as_path

__all__ = ["check_calls", "check_workdir", "checked_limits"]


def checked_limits(given: Mapping) -> dict:
    """The limits among arguments of `fit`; infinite ones are None, as if they were not given."""
    is_whole = {"max_evaluations": True, "max_seconds": False, "max_components": True}
    return {
        name: checked_limit(name, given[name], is_whole=whole)
        for name, whole in is_whole.items()
        if name in given
    }


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
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
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
    if workdir is not None:
        as_path(workdir, "workdir")
