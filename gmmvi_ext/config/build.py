"""From a configuration to a target and an algorithm; TensorFlow is imported when called."""

from pathlib import Path
from typing import TYPE_CHECKING

from gmmvi_ext.config.check import refusal_key
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import ConfigError, Problem
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.config.python_target import python_target
from gmmvi_ext.config.rules import build_rules
from gmmvi_ext.user_code import is_code

if TYPE_CHECKING:
    from gmmvi_ext.inference.gmmvi import GMMVI
    from gmmvi_ext.targets.base import Target

__all__ = ["build_algorithm", "build_from_config", "build_target"]

MAX_MIXTURE_BYTES = 16e9  # of the factors of the first mixture; an iteration needs several times it


def build_target(
    config: Config | dict | str | Path, *, warnings: list[str] | None = None
) -> "Target":
    """Target that `environment_name`, `environment_config`, `shapes`, `constraints` describe.

    Args:
      config: a `Config`, or what `load_config` takes.
      warnings: receives a line for each warning about a user's own target.

    Returns:
      a `gmmvi_ext.targets.base.Target`.

    Raises:
      ConfigError: the target cannot be built; names file, line and key.

    Example:
        >>> from gmmvi_ext.config import build_target
        >>> settings = {"environment_name": "mog40", "environment_config": {"num_components": 7}}
        >>> build_target(settings).num_components
        7
    """
    from gmmvi_ext.targets import registry

    config = config if isinstance(config, Config) else load_config(config)
    values = config.values
    name, settings = values["environment_name"], values["environment_config"]
    # A setting that is null is one that is not given.
    settings = {key: value for key, value in settings.items() if value is not None}
    _check_data_dir(config, settings)
    try:
        if is_code(name):
            target, found = python_target(config)
            if warnings is not None:
                warnings += found
            return target
        return registry.build_target(name, settings, seed=config.seed, dtype=values["dtype"])
    except ConfigError:
        raise
    except (MemoryError, OverflowError) as error:
        text = f"{name}: is too large for this machine ({' '.join(str(error).split())[:200]})."
        key = "environment_config" if config.written("shapes") is None else "shapes"
        raise ConfigError(Problem(config.origin(key), key, text)) from error
    except (OSError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        part = _part_key(config, text)
        if part is not None:
            raise ConfigError(Problem(config.origin(part), part, text)) from error
        known = [key for key in settings if f"`{key}`" in text or f".{key}`" in text]
        if not known and "data_dir" in text and "data_dir" in settings:
            known = ["data_dir"]
        key = f"environment_config.{known[0]}" if known else "environment_config"
        key = key if known else "environment_name"
        text = text if known else f"{name}: {text}"
        raise ConfigError(Problem(config.origin(key), key, text)) from error


def _part_key(config: Config, text: str) -> str | None:
    """The entry of `constraints` or `shapes` that a message is about, if it is about one."""
    for section in ("constraints", "shapes"):
        given = config.values.get(section)
        names = given if isinstance(given, dict) else {}
        about = [name for name in names if repr(name) in text.split("; ")[0].split(", but ")[0]]
        if about:
            return f"{section}.{about[0]}"
        if given is not None and f"`{section}`" in text:
            return section
    return None


def build_algorithm(
    config: Config | dict | str | Path, target: "Target", *, prior: dict | None = None
) -> "GMMVI":
    """The algorithm that the seven roles and `model_initialization` describe, for `target`.

    Args:
      config: a `Config`, or what `load_config` takes.
      target: a `Target`.
      prior: `prior_mean` and `prior_scale` in place of the configuration's.

    Raises:
      ConfigError: a rule refuses its settings; names file, line and key.

    Example:
        >>> from gmmvi_ext.config import build_algorithm, load_config
        >>> from gmmvi_ext.targets import build_target
        >>> settings = {"model_initialization": {"num_initial_components": 3}}
        >>> config = load_config(settings, algorithm="SAMTRON", needs_target=False)
        >>> algorithm = build_algorithm(config, build_target("PlanarRobot1"))
        >>> algorithm.mixture().num_dimensions, int(algorithm.mixture().num_components)
        (10, 3)
    """
    import tensorflow as tf

    from gmmvi_ext.inference.gmmvi import GMMVI

    if not isinstance(config, Config):
        config = load_config(config, needs_target=False)
    rules = build_rules(config)
    values = config.values
    largest = float(tf.as_dtype(values["dtype"]).max)
    if values["temperature"] > largest:
        text = f"must be at most {largest:.1e} in {values['dtype']}, got {values['temperature']!r}."
        raise ConfigError(Problem(config.origin("temperature"), "temperature", text))
    _refuse_too_large(config, target.num_dimensions)
    initial = values["model_initialization"] | (prior or {})
    initial = {key: value for key, value in initial.items() if value is not None}
    try:
        values = values | {"model_initialization": initial}
        return GMMVI.build_from_config(
            values, target, rules=rules, seed=config.seed, dtype=values["dtype"]
        )
    except ValueError as error:
        text = " ".join(str(error).split())
        key = refusal_key(error)
        if key in values["model_initialization"]:
            text = text.removeprefix("`model_initialization`: ").removeprefix(f"`{key}` ")
            key = f"model_initialization.{key}"
        elif not key and "out of range" in text:  # TensorFlow's words for 1e308 in float32
            key, text = "model_initialization", f"a number is out of range for {values['dtype']}."
        raise ConfigError(Problem(config.origin(key), key, text)) from error


def build_from_config(
    config: Config | dict | str | Path, target: "Target | None" = None, *, seed: int | None = None
) -> "GMMVI":
    """Algorithm for a configuration in the reference's format.

    Args:
      config: dictionary, path of a YAML file, name of a shipped experiment, or `Config`.
      target: a `Target`; built from `environment_name` if not given.
      seed: wins over the configuration's.

    Returns:
      a `gmmvi_ext.inference.gmmvi.GMMVI`; its `target` is the target.

    Raises:
      ConfigError: with one line for each problem.

    Example:
        >>> from gmmvi_ext import build_from_config
        >>> algorithm = build_from_config({"environment_name": "funnel", "seed": 1})
        >>> algorithm.target.num_dimensions, int(algorithm.mixture().num_components)
        (10, 1)
    """
    if not isinstance(config, Config):
        overrides = [] if seed is None else [f"seed={seed}"]
        config = load_config(config, overrides=overrides, needs_target=target is None)
    return build_algorithm(config, build_target(config) if target is None else target)


def _refuse_too_large(config: Config, num_dimensions: int) -> None:
    """Refuses a first mixture that no memory holds, before it is tried."""
    initial = config.values["model_initialization"]
    num, rank = initial["num_initial_components"], initial["use_low_rank"]
    width = 1 if initial["use_diagonal_covs"] else rank or num_dimensions
    size = num * num_dimensions * width * (4 if config.values["dtype"] == "float32" else 8)
    if size > MAX_MIXTURE_BYTES:
        key = "model_initialization"
        text = (
            f"{num:,} components in {num_dimensions:,} dimensions would take {size / 1e9:,.0f} GB; "
            "start with fewer (num_initial_components), or with use_diagonal_covs or use_low_rank."
        )
        raise ConfigError(Problem(config.origin(key), key, text))


def _check_data_dir(config: Config, settings: dict) -> None:
    folder = settings.get("data_dir")
    if folder is not None and not Path(folder).is_dir():
        key = "environment_config.data_dir"
        message = f"{folder} is no folder; give the one that holds the data files."
        raise ConfigError(Problem(config.origin(key), key, message))
