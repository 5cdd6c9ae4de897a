"""From arguments of `fit`, or from a file with `algorithm: auto`, to a complete configuration."""

import warnings
from collections.abc import Mapping

from gmmvi_ext.config.auto import MAX_COMPONENTS_KEY, auto_values
from gmmvi_ext.config.catalog import names_for
from gmmvi_ext.config.codewords import AUTO
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.documents import MIXTURE
from gmmvi_ext.config.errors import ConfigError, Origin, Problem
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.registry import did_you_mean
from gmmvi_ext.targets.base import Target

__all__ = ["completed", "fit_config", "wants_gradient"]


# Keys of files that say what `fit` has arguments for, or what is no mixture.
_OF_FILES = ("environment_name", "environment_config", "defaults", "model", "algorithm")
# What users of other packages look for -> what there is.
_INSTEAD = {
    "audit": " Every fit ends with an audit; `posterior.audit(num_searches)` makes another one.",
    "learning_rate": " Steps are natural-gradient ones, of sizes that adapt "
    "(`component_stepsize_adapter_config`).",
    "num_samples": " `sample_selector_config={'desired_samples_per_component': ...}` is the draws "
    "of an iteration, `posterior.sample(n)` gives draws of the result.",
    "num_components": " Components come and go; `max_components` bounds them.",
}
# Of `fit`, beside the keys of a configuration.
ARGUMENTS = (
    "target",
    "num_dimensions",
    "shapes",
    "constraints",
    "algorithm",
    "seed",
    "max_evaluations",
    "max_seconds",
    "max_components",
    "initial_values",
    "dtype",
    "verbose",
    "batched",
    "gradient",
    "executor",
    "strategy",
    "workdir",
    "callbacks",
)


def fit_config(
    *,
    num_dimensions: int,
    has_gradient: bool,
    is_stochastic: bool,
    algorithm,
    seed: int,
    dtype: str,
    max_components: int | None,
    settings: Mapping,
) -> Config:
    """The configuration that the arguments of `fit` amount to, checked.

    Args:
      num_dimensions, has_gradient, is_stochastic: of the target.
      algorithm: "auto", a code word, or a dict of roles.
      seed, dtype, max_components: arguments of `fit`.
      settings: everything else that was given, with the keys of a configuration.

    Raises:
      ConfigError: an unknown key or a value out of range, as `fit(key=...)`.
      ValueError: `algorithm` is neither "auto", a code word nor a dict of roles.
    """
    roles: Mapping = {}
    word = AUTO
    if isinstance(algorithm, Mapping):
        roles = algorithm
    elif isinstance(algorithm, str):
        word = algorithm
    else:
        raise ValueError(
            "`algorithm` must be 'auto', a code word such as 'SAMTRON', or a dict of roles, got "
            f"{algorithm!r}."
        )
    _refuse_unknown({**roles, **settings})
    given = [*_flat(roles), *_flat(settings)]
    base = auto_values(
        word,
        num_dimensions=num_dimensions,
        has_gradient=has_gradient,
        is_stochastic=is_stochastic,
        max_components=max_components or dict(given).get(MAX_COMPONENTS_KEY),
    )
    given = [*given, ("seed", int(seed)), ("dtype", dtype)]
    overrides = [(key, value, Origin(f"fit({key}=...)")) for key, value in given]
    adapter = dict(given).get("num_component_adapter_type", base["num_component_adapter_type"])
    if max_components is not None and adapter == "adaptive":
        origin = Origin("fit(max_components=...)")
        overrides.append((MAX_COMPONENTS_KEY, int(max_components), origin))
    elif max_components is not None:
        message = (
            f"`max_components` bounds the start and the exploration alone: component adapter "
            f"{adapter!r} takes no bound of its own from it."
        )
        warnings.warn(message, UserWarning, stacklevel=3)
    return load_config(
        {"algorithm": AUTO} if word == AUTO else None,
        base=base,
        overrides=overrides,
        needs_target=False,
    )


def _refuse_unknown(settings: Mapping) -> None:
    """Refuses keywords that are neither arguments of `fit` nor keys of a configuration."""
    known = [key for key in MIXTURE.known_keys(names_for(MIXTURE)) if key not in _OF_FILES]
    problems = [
        Problem(
            Origin(f"fit({key}=...)"),
            key,
            "the target is an argument of its own."
            if key in _OF_FILES
            else "unknown key: no argument of `fit` and no key of a configuration."
            f"{_INSTEAD.get(key) or did_you_mean(key, [*ARGUMENTS, *known])}",
        )
        for key in settings
        if key not in known
    ]
    if problems:
        raise ConfigError(problems)


def completed(config: Config, target: Target) -> Config:
    """A configuration with `algorithm: auto`, completed by what depends on the target.

    Others are returned as they are.
    """
    if not config.is_auto:
        return config
    return config.with_base(
        auto_values(
            num_dimensions=target.num_dimensions,
            has_gradient=target.has_gradient,
            is_stochastic=target.is_stochastic,
            max_components=config.written(MAX_COMPONENTS_KEY),
        )
    )


def _flat(values: Mapping):
    """(dotted key, value) of every setting, so that sections merge instead of replacing."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value and key != "initial_values":  # names of users
            yield from ((f"{key}.{name}", inner) for name, inner in _flat(value))
        else:
            yield str(key), value


def wants_gradient(algorithm) -> bool:
    """Whether the algorithm that `fit` was given, a code word or roles, is of first order."""
    if isinstance(algorithm, Mapping):
        return algorithm.get("ng_estimator_type", "Stein") != "MORE"
    return algorithm == AUTO or "Z" not in str(algorithm).upper()
