"""The seven rules that a configuration names, built once; TensorFlow is imported when called."""

import re

from gmmvi_ext.config.check import check_section, refusal_key
from gmmvi_ext.config.codewords import ROLE_LETTERS
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import ConfigError, Problem
from gmmvi_ext.config.fields import section_from_dataclass
from gmmvi_ext.user_code import is_code

__all__ = ["build_rules", "needs_gradient"]


def build_rules(config: Config) -> dict:
    """The seven rules, role -> rule; those of the user's own are tried once.

    Raises:
      ConfigError: settings that contradict each other, a rule of the user's own that cannot be
        used; names the line of something that was written.
    """
    rules, problems = {}, []
    for role in ROLE_LETTERS:
        try:
            rules[role] = _built(config, role)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return rules


def needs_gradient(config: Config) -> bool:
    """Whether the estimator asks for gradients of the target."""
    return _class_of(config, "ng_estimator").requires_gradient


def _class_of(config: Config, role: str):
    from gmmvi_ext.inference.roles import ROLE_CLASSES

    bases = {each.role: each for each in ROLE_CLASSES}
    key = f"{role}_type"
    try:
        return bases[role].named(config.values[key])
    except (OSError, ValueError) as error:
        raise ConfigError(Problem(config.origin(key), key, str(error))) from error


def _built(config: Config, role: str):
    from gmmvi_ext.inference.rule_trial import is_custom, try_rule

    key, values = f"{role}_config", config.values
    cls = _class_of(config, role)
    settings = values[key]
    if is_code(values[f"{role}_type"]):  # its settings could not be checked before
        problems: list[Problem] = []
        spec = section_from_dataclass(cls, cls.__name__)
        settings = check_section(config.node(key), key, spec, problems, kind=cls.__name__).plain()
        if problems:
            raise ConfigError(problems)
    try:
        rule = cls(**settings)
    except (TypeError, ValueError) as error:
        name = refusal_key(error)
        text = str(error).removeprefix(f"`{name}` ")
        # Of settings that contradict each other, point at one that somebody wrote.
        mentioned = [f"{key}.{each}" for each in re.findall(r"`(\w+)`", str(error))]
        origins = [config.origin(each) for each in mentioned or [key]]
        written = [origin for origin in origins if origin.source != "default"]
        place = f"{key}.{name}" if name else key
        raise ConfigError(Problem((written or origins)[0], place, text)) from error
    if is_custom(cls):
        try:
            try_rule(
                rule,
                is_diagonal=values["model_initialization"]["use_diagonal_covs"],
                dtype=values["dtype"],
            )
        except ValueError as error:
            origin = config.origin(f"{role}_type")
            text = f"{cls.__name__}: {error}"
            raise ConfigError(Problem(origin, f"{role}_type", text)) from error
    return rule
