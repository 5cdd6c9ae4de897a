"""Targets by name, as configurations spell them.

An entry is a *builder*: a function that returns a `Target`,

    builder(*, seed=0, data_dir=None, dtype=tf.float32, **settings) -> Target

`seed` (a plain integer) fixes randomly generated targets and data splits, `data_dir` is where data
files are looked for first, `dtype` the floating dtype; every other keyword is a setting that
`environment_config` may carry. A builder that has no use for one of the three leaves it out of its
signature. A user's own target becomes available by name through `@TARGETS.register("my_target")`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from gmmvi_ext.ranges import require_count
from gmmvi_ext.registry import Registry, did_you_mean
from gmmvi_ext.targets.base import Target
from gmmvi_ext.types import DTypeLike
from gmmvi_ext.whole_files import as_path

__all__ = ["TARGETS", "build_target", "target_settings"]

TARGETS = Registry("target")

_PROVIDED = ("seed", "data_dir", "dtype")  # come from the run, not from `environment_config`


def target_settings(name: str) -> dict[str, object]:
    """Settings that `environment_config` may carry for the target `name`, with their defaults.

    A setting without a default (it has to be given) maps to `inspect.Parameter.empty`.

    Example:
        >>> from gmmvi_ext.targets import target_settings
        >>> target_settings("funnel")
        {'num_dimensions': 10, 'scale': 3.0}
    """
    parameters = inspect.signature(TARGETS.get(name)).parameters
    return {key: each.default for key, each in parameters.items() if key not in _PROVIDED}


def build_target(
    name: str,
    environment_config: Mapping[str, object] | None = None,
    *,
    seed: int = 0,
    data_dir: str | None = None,
    dtype: DTypeLike = tf.float32,
) -> Target:
    """Target called `name` with the settings of `environment_config`.

    Args:
      name: a registered name or alias (hyphens, underscores and case do not matter).
      environment_config: settings of that target; may also carry `seed` and `data_dir`, which then
        win over the arguments.
      seed: integer that fixes random targets and data splits.
      data_dir: folder looked into first for data files.
      dtype: floating dtype of the target.

    Raises:
      UnknownNameError: for an unknown `name`, with the choices.
      ValueError: for an unknown or missing setting, with those allowed.

    Example:
        >>> from gmmvi_ext.targets import build_target
        >>> target = build_target("mog40", {"num_components": 7}, seed=3)
        >>> target.num_dimensions, target.num_components, target.log_normalizer
        (2, 7, 0.0)
    """
    builder: Callable[..., Target] = TARGETS.get(name)
    settings: dict[str, Any] = dict(environment_config or {})
    seed = settings.pop("seed", seed)
    data_dir = settings.pop("data_dir", data_dir)
    allowed = target_settings(name)
    for key in settings:
        if key not in allowed:
            raise ValueError(_unknown_setting(TARGETS.canonical(name), key, allowed))
    missing = [
        key
        for key, default in allowed.items()
        if default is inspect.Parameter.empty and key not in settings
    ]
    if missing:
        raise ValueError(
            f"`environment_config` of target {TARGETS.canonical(name)!r} lacks "
            f"{', '.join(map(repr, missing))}; allowed: {', '.join(allowed)}."
        )
    require_count("seed", seed, at_least=0)
    if data_dir is not None:
        as_path(data_dir, "data_dir")
    provided = {"seed": int(seed), "data_dir": data_dir, "dtype": dtype}
    known = inspect.signature(builder).parameters
    return builder(**{key: value for key, value in provided.items() if key in known}, **settings)


def _unknown_setting(name: str, key: str, allowed: Mapping[str, object]) -> str:
    if not allowed:
        return f"`environment_config.{key}`: target {name!r} has no settings; remove the key."
    return (
        f"`environment_config.{key}` is not a setting of target {name!r}; "
        f"allowed: {', '.join(allowed)}.{did_you_mean(key, allowed)}"
    )
