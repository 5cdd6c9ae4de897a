"""What all rules share: they are frozen dataclasses, known by name, built from a configuration.

A rule's fields are the keys of its `_config` section. A rule of the user's own is named by its
file, `python:my_rules.py:MyRule`, or registered,

    @WeightUpdater.registry.register("my-rule")
    @dataclasses.dataclass(frozen=True)
    class MyRule(WeightUpdater): ...

`docs/own_rules.md` has one of each role.
"""

import dataclasses
import inspect
from typing import Any, ClassVar, cast

from gmmvi_ext.ranges import check_ranges
from gmmvi_ext.registry import Registry, did_you_mean
from gmmvi_ext.user_code import is_code, load_module, split_name

__all__ = ["Rule"]


class Rule:
    """Base of all rules.

    Role bases set `role` (the configuration prefix), `registry`, and `required`: the methods of
    which a rule has to have one.
    """

    role: ClassVar[str]
    registry: ClassVar[Registry]
    required: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        check_ranges(self)

    @classmethod
    def named(cls, name: str) -> "type[Rule]":
        """The class of this role that a configuration calls `name`.

        Args:
          name: registered, or `python:FILE.py:CLASS`.

        Raises:
          OSError, ValueError: there is no such name, file or class, or it is no rule of this role.
        """
        if not is_code(name):
            return cls.registry.get(name)
        path, wanted = split_name(name)
        module = load_module(path)
        found: Any = getattr(module, wanted, None)
        if not inspect.isclass(found):
            own = (each for each in vars(module).values() if inspect.isclass(each))
            classes = [each.__name__ for each in own if each.__module__ == module.__name__]
            raise ValueError(
                f"{path} has no class {wanted!r}; it has {', '.join(classes) or 'none'}."
                f"{did_you_mean(wanted, classes)}"
            )
        problem = cls._problem_of(found)
        if problem is not None:
            raise ValueError(f"{path}: {wanted} {problem}")
        return cast(type[Rule], found)

    @classmethod
    def _problem_of(cls, found: Any) -> str | None:
        """Why a class is no rule of this role, or None."""
        if not issubclass(found, cls):
            other = f"is a rule for {found.role}" if hasattr(found, "role") else "is no rule"
            return f"{other}; {cls.role}_type takes a subclass of {cls.__name__}."
        fields = _settings(found) if dataclasses.is_dataclass(found) else []
        has_own_init = "__init__" in vars(found) and "__dataclass_fields__" not in vars(found)
        is_whole = dataclasses.is_dataclass(found) and not has_own_init
        if not is_whole or _annotated(found, cls) - set(fields):
            return "is no dataclass; write @dataclasses.dataclass(frozen=True) above it."
        for name in _annotated(cls, Rule) - set(fields):
            if not hasattr(found, name):
                return f"has no setting `{name}`."
        if cls.required and all(getattr(found, n) is getattr(cls, n) for n in cls.required):
            return f"has no method `{cls.required[0]}`, see {cls.__name__}.{cls.required[0]}."
        return None

    @classmethod
    def build_from_config(cls, config: dict) -> "Rule":
        """Builds the rule that `config[role + "_type"]` names, from `config[role + "_config"]`.

        Args:
          config: configuration with the keys of the reference.

        Raises:
          OSError, ValueError: missing or unknown type, unknown key, value out of range; names the
            key.
        """
        type_key, config_key = f"{cls.role}_type", f"{cls.role}_config"
        if type_key not in config:
            raise ValueError(
                f"`{type_key}` is missing; choose one of {', '.join(map(repr, cls.registry))}."
            )
        rule = cls.named(config[type_key])
        options = dict(config.get(config_key) or {})
        allowed = _settings(rule)
        for key in options:
            if key not in allowed:
                raise ValueError(
                    f"`{config_key}.{key}` is not a setting of {config[type_key]!r}; it has "
                    f"{', '.join(allowed) or 'none'}."
                )
        try:
            return rule(**options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`{config_key}`: {error}") from error


def _settings(rule: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(rule)]


def _annotated(cls: Any, above: type) -> set[str]:
    """What a class and its bases, up to and without `above`, annotate as settings."""
    bases = [each for each in cls.__mro__ if issubclass(each, above) and each is not above]
    hints = [item for each in bases for item in vars(each).get("__annotations__", {}).items()]
    return {name for name, hint in hints if "ClassVar" not in str(hint)}
