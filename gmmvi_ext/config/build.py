"""From a configuration to a target and an algorithm; TensorFlow is imported when called."""

import importlib.util
import inspect
import re
import sys
from pathlib import Path

from gmmvi_ext.config.check import refusal_key
from gmmvi_ext.config.codewords import ROLE_LETTERS
from gmmvi_ext.config.config import Config, load_config
from gmmvi_ext.config.errors import ConfigError, Problem

__all__ = ["build_algorithm", "build_from_config", "build_target", "check_rules"]


def build_target(config: Config | dict | str | Path):
    """Target that `environment_name` and `environment_config` describe.

    Args:
      config: a `Config`, or what `load_config` takes.

    Returns:
      a `gmmvi_ext.targets.base.Target`.

    Raises:
      ConfigError: the target cannot be built; names file, line and key.
    """
    from gmmvi_ext.targets import registry

    config = config if isinstance(config, Config) else load_config(config)
    values = config.to_dict()
    name, settings = values["environment_name"], values["environment_config"]
    # A setting that is null is one that is not given.
    settings = {key: value for key, value in settings.items() if value is not None}
    _check_data_dir(config, settings)
    try:
        if name.startswith("python:"):
            return _python_target(name, settings, values["dtype"])
        return registry.build_target(name, settings, seed=config.seed, dtype=values["dtype"])
    except ConfigError:
        raise
    except (OSError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        known = [key for key in settings if f"`{key}`" in text or f".{key}`" in text]
        if not known and "data_dir" in text and "data_dir" in settings:
            known = ["data_dir"]
        key = f"environment_config.{known[0]}" if known else "environment_config"
        key = key if known else "environment_name"
        text = text if known else f"{name}: {text}"
        raise ConfigError(Problem(config.origin(key), key, text)) from error


def build_algorithm(config: Config | dict | str | Path, target):
    """The algorithm that the seven roles and `model_initialization` describe, for `target`.

    Raises:
      ConfigError: a rule refuses its settings; names file, line and key.
    """
    from gmmvi_ext.inference.gmmvi import GMMVI

    if not isinstance(config, Config):
        config = load_config(config, needs_target=False)
    check_rules(config)
    values = config.to_dict()
    try:
        return GMMVI.build_from_config(values, target, seed=config.seed, dtype=values["dtype"])
    except ValueError as error:
        text = " ".join(str(error).split())
        key = refusal_key(error)
        if key in values["model_initialization"]:
            text = text.removeprefix("`model_initialization`: ").removeprefix(f"`{key}` ")
            key = f"model_initialization.{key}"
        raise ConfigError(Problem(config.origin(key), key, text)) from error


def build_from_config(config: Config | dict | str | Path, target=None, *, seed: int | None = None):
    """Algorithm for a configuration in the reference's format.

    Args:
      config: dictionary, path of a YAML file, name of a shipped experiment, or `Config`.
      target: a `Target`; built from `environment_name` if not given.
      seed: wins over the configuration's.

    Returns:
      a `gmmvi_ext.inference.gmmvi.GMMVI`; its `target` is the target.

    Raises:
      ConfigError: with one line for each problem.
    """
    if not isinstance(config, Config):
        overrides = [] if seed is None else [f"seed={seed}"]
        config = load_config(config, overrides=overrides, needs_target=target is None)
    return build_algorithm(config, build_target(config) if target is None else target)


def _check_data_dir(config: Config, settings: dict) -> None:
    folder = settings.get("data_dir")
    if folder is not None and not Path(folder).is_dir():
        key = "environment_config.data_dir"
        message = f"{folder} is no folder; give the one that holds the data files."
        raise ConfigError(Problem(config.origin(key), key, message))


def check_rules(config: Config) -> None:
    """Builds every rule once, so that settings that contradict each other show with their line."""
    from gmmvi_ext.inference.roles import ROLES

    values = config.to_dict()
    problems = []
    for role in ROLE_LETTERS:
        rule = ROLES[role].get(values[f"{role}_type"])
        try:
            rule(**values[f"{role}_config"])
        except (TypeError, ValueError) as error:
            name = refusal_key(error)
            key = f"{role}_config.{name}" if name else f"{role}_config"
            text = str(error).removeprefix(f"`{name}` ")
            # Of settings that contradict each other, point at one that somebody wrote.
            mentioned = [f"{role}_config.{each}" for each in re.findall(r"`(\w+)`", str(error))]
            origins = [config.origin(each) for each in mentioned or [key]]
            written = [origin for origin in origins if origin.source != "default"]
            problems.append(Problem((written or origins)[0], key, text))
    if problems:
        raise ConfigError(problems)


def _python_target(name: str, settings: dict, dtype: str):
    """`python:FILE.py:FUNCTION`: a log density, or a function that returns a `Target`."""
    from gmmvi_ext.targets.base import Target
    from gmmvi_ext.targets.callables import CallableTarget, HostTarget

    file, _, function_name = name.removeprefix("python:").rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    module = _module_from(path)
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [key for key, item in vars(module).items() if inspect.isfunction(item)]
        raise ValueError(
            f"{path} has no function {function_name!r}; it has {', '.join(names) or 'none'}."
        )
    if isinstance(function, type) or not _first_parameter_is_required(function):
        target = function()
        if not isinstance(target, Target):
            raise ValueError(f"{function_name}() returned {type(target).__name__}, not a Target.")
        return target
    dimensions = settings.get("num_dimensions")
    if dimensions is None:
        raise ValueError("`num_dimensions` is missing: give the dimension of the points.")
    if settings.get("is_graph_safe", True):
        return CallableTarget(function, dimensions, dtype=dtype, name=function_name)
    gradient = settings.get("gradient")
    return HostTarget(
        function,
        dimensions,
        log_prob_and_grad_fn=getattr(module, gradient) if gradient else None,
        dtype=dtype,
        name=function_name,
    )


def _module_from(path: Path):
    name = f"gmmvi_ext_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - the user's file: one line, not a traceback
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _first_parameter_is_required(function) -> bool:
    return any(
        parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in inspect.signature(function).parameters.values()
    )
