"""What all rules share: they are frozen dataclasses, known by name, built from a configuration.

A rule's fields are the keys of its `_config` section. A user's own rule becomes available by name
with

    @WeightUpdater.registry.register("my-rule")
    @dataclasses.dataclass(frozen=True)
    class MyRule(WeightUpdater): ...
"""

import dataclasses
from typing import ClassVar

from gmmvi_ext.ranges import check_ranges
from gmmvi_ext.registry import Registry

__all__ = ["Rule"]


class Rule:
    """Base of all rules. Role bases set `role` (the configuration prefix) and `registry`."""

    role: ClassVar[str]
    registry: ClassVar[Registry]

    def __post_init__(self):
        check_ranges(self)

    @classmethod
    def build_from_config(cls, config: dict) -> "Rule":
        """Builds the rule that `config[role + "_type"]` names, from `config[role + "_config"]`.

        Args:
          config: configuration with the keys of the reference.

        Raises:
          ValueError: missing or unknown type, unknown key, value out of range; names the key.
        """
        type_key, config_key = f"{cls.role}_type", f"{cls.role}_config"
        if type_key not in config:
            raise ValueError(
                f"`{type_key}` is missing; choose one of {', '.join(map(repr, cls.registry))}."
            )
        rule = cls.registry.get(config[type_key])
        options = dict(config.get(config_key) or {})
        allowed = [field.name for field in dataclasses.fields(rule)]
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
