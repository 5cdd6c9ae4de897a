"""Targets from a user's file: `environment_name: python:FILE.py:FUNCTION`, `shapes`, `constraints`.

FUNCTION is a log density, or takes no argument and returns one, a (pinned) TFP joint distribution
or a `Target`. The rules are those of `gmmvi_ext.fit`; what is wrong is said with file, line, key.
"""

import inspect
from collections.abc import Mapping

from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import ConfigError, Problem
from gmmvi_ext.config.rules import needs_gradient
from gmmvi_ext.user_code import USER_ERRORS, load_module, split_name, text_of

__all__ = ["check_layout", "python_target"]


def python_target(config: Config) -> tuple:
    """Target of a configuration whose `environment_name` is `python:FILE.py:FUNCTION`.

    Args:
      config: checked configuration.

    Returns:
      a `gmmvi_ext.targets.base.Target` on the unconstrained space, and warnings of a line each.

    Raises:
      ConfigError: the constraints do not fit, all of them named.
      OSError, TypeError, ValueError: there is no such function, or it cannot be used.
    """
    import tensorflow as tf

    from gmmvi_ext.constraints.layout import LayoutError
    from gmmvi_ext.targets.user_model import as_target

    values = config.values
    settings = {k: v for k, v in values["environment_config"].items() if v is not None}
    shapes, constraints = values.get("shapes"), values.get("constraints")
    path, name = split_name(values["environment_name"])
    module = load_module(path)
    given = _function(module, name)
    if callable(given) and (isinstance(given, type) or not _needs_argument(given)):
        given = _made(given, name)
    # Of a function alone the dimensions cannot be seen.
    _require_layout(given, settings, shapes)
    gradient = settings.get("gradient")
    try:
        return as_target(
            given,
            num_dimensions=settings.get("num_dimensions"),
            shapes=shapes,
            constraints=constraints,
            dtype=tf.as_dtype(values["dtype"]),
            batched=settings.get("batched", True),
            gradient=None if gradient is None else _function(module, gradient),
            needs_gradient=needs_gradient(config),
            on_host=not settings.get("is_graph_safe", True),
        )
    except LayoutError as error:
        raise _as_config_error(config, error) from error


def check_layout(config: Config) -> None:
    """Looks at `shapes` and `constraints` without the user's file.

    Raises:
      ConfigError: they do not fit, all of them named.
    """
    shapes, constraints = config.values.get("shapes"), config.values.get("constraints")
    if not shapes or not constraints:
        return
    from gmmvi_ext.constraints.layout import LayoutError, PartsLayout

    try:
        PartsLayout(shapes, constraints)
    except LayoutError as error:
        raise _as_config_error(config, error) from error


def _as_config_error(config: Config, error) -> ConfigError:
    keys = {f"constraints.{n}" if n else "constraints": t for n, t in error.problems.items()}
    return ConfigError(
        [Problem(config.origin(key), key, " ".join(t.split())) for key, t in keys.items()]
    )


def _function(module, name: str):
    """What the user's module calls `name`."""
    found = getattr(module, name, None)
    if not callable(found) and not _is_usable(found):
        names = [key for key, item in vars(module).items() if inspect.isfunction(item)]
        raise ValueError(
            f"{module.__file__} has no function {name!r}; it has {', '.join(names) or 'none'}."
        )
    return found


def _is_usable(thing) -> bool:
    from gmmvi_ext.targets.base import Target
    from gmmvi_ext.targets.joint_distribution import is_joint

    return isinstance(thing, Target) or is_joint(thing)


def _made(function, name: str):
    """What a function without arguments returns."""
    try:
        made = function()
    except USER_ERRORS as error:  # the user's file: one line, not a traceback
        text = " ".join(text_of(error).split())
        raise ValueError(f"{name}() fails with {type(error).__name__}: {text}") from error
    if not callable(made) and not _is_usable(made):
        raise ValueError(
            f"{name}() returned {type(made).__name__}, expected a log density, a (pinned) TFP "
            "joint distribution or a Target."
        )
    return made


def _require_layout(given, settings: Mapping, shapes) -> None:
    if not _is_usable(given) and shapes is None and "num_dimensions" not in settings:
        raise ValueError(
            "`num_dimensions` is missing: give the dimension of the points, or name the parameters "
            "in `shapes`, e.g. shapes: {mu: [], theta: [8]}."
        )


def _needs_argument(function) -> bool:
    return any(
        parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in inspect.signature(function).parameters.values()
    )
