"""The names a configuration can use: rules of the seven roles, targets, and their settings.

The classes themselves are the only source. Importing them takes seconds (TensorFlow), so a snapshot
of their descriptions lies in `catalog.json`; checking, describing and `--help` read that. Where the
rooms are imported already, for instance in a Python program that registered a rule of its own, the
live registries are read instead. `write_snapshot()` rewrites the file; a test compares it with the
classes.
"""

import dataclasses
import functools
import json
import sys
from pathlib import Path

from gmmvi_ext.config.fields import (
    FieldSpec,
    SectionSpec,
    section_from_dataclass,
    section_from_function,
)

__all__ = [
    "Catalog",
    "catalog",
    "live_catalog",
    "snapshot_catalog",
    "snapshot_text",
    "write_snapshot",
]

SNAPSHOT = Path(__file__).with_name("catalog.json")
_PROVIDED = ("dtype",)  # come from the run, not from `environment_config`


@dataclasses.dataclass(frozen=True)
class Catalog:
    """Everything that has a name.

    Attributes:
      rules: role (prefix of its keys) -> rule name -> its settings.
      targets: target name -> its settings.
      aliases: other spellings of target names -> registered name.
      rule_aliases: role -> other names of rules -> registered name.
    """

    rules: dict[str, dict[str, SectionSpec]]
    targets: dict[str, SectionSpec]
    aliases: dict[str, str] = dataclasses.field(default_factory=dict)
    rule_aliases: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    def rule(self, role: str, name) -> SectionSpec | None:
        """Settings of the rule `name`; hyphens, underscores and case do not matter."""
        return _lookup(self.rules.get(role, {}), name, self.rule_aliases.get(role, {}))

    def target(self, name) -> SectionSpec | None:
        """Settings of the target `name`, which may be an alias."""
        return _lookup(self.targets, name, self.aliases)


def catalog() -> Catalog:
    """The live catalogue if the rooms are loaded already, the snapshot otherwise."""
    loaded = {"gmmvi_ext.inference.roles", "gmmvi_ext.targets.registry"} <= set(sys.modules)
    return live_catalog() if loaded else snapshot_catalog()


def live_catalog() -> Catalog:
    """Read from the registries; imports TensorFlow."""
    from gmmvi_ext.inference.roles import ROLES
    from gmmvi_ext.targets.registry import TARGETS

    rules = {
        role: {
            name: section_from_dataclass(registry.get(name), registry.canonical(name))
            for name in registry
        }
        for role, registry in ROLES.items()
    }
    targets = {name: _target_section(TARGETS.get(name), name) for name in TARGETS}
    rule_aliases = {role: _aliases(registry) for role, registry in ROLES.items()}
    return Catalog(rules, targets, _aliases(TARGETS), rule_aliases)


@functools.cache
def snapshot_catalog() -> Catalog:
    """Read from `catalog.json`."""
    data = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return Catalog(
        {
            role: {name: _section_from_json(entry) for name, entry in entries.items()}
            for role, entries in data["rules"].items()
        },
        {name: _section_from_json(entry) for name, entry in data["targets"].items()},
        data["aliases"],
        data["rule_aliases"],
    )


def write_snapshot() -> None:
    """Rewrites `catalog.json` and `configs/schema.json` from the classes; imports TensorFlow."""
    from gmmvi_ext.config.json_schema import json_schema  # late: it builds on this module
    from gmmvi_ext.config.shipped import shipped_folder

    names = live_catalog()
    SNAPSHOT.write_text(snapshot_text(names), encoding="utf-8")
    schema = json.dumps(json_schema(names), indent=1) + "\n"
    (shipped_folder() / "schema.json").write_text(schema, encoding="utf-8")


def snapshot_text(source: Catalog) -> str:
    """The contents of `catalog.json` for `source`."""
    return json.dumps(dataclasses.asdict(source), indent=1) + "\n"


def _target_section(builder, name: str) -> SectionSpec:
    """Settings of a target; every one takes `seed` and `data_dir`, also where it has no use."""
    section = section_from_function(builder, name, _PROVIDED)
    common = {
        "seed": FieldSpec(("int", "null"), None, doc="fixes random targets and splits"),
        "data_dir": FieldSpec(("str", "null"), None, doc="folder looked into first for data"),
    }
    own = {key: field for key, field in section.fields.items() if key not in common}
    return dataclasses.replace(section, fields=own | common)


def _aliases(registry) -> dict[str, str]:
    """Other names of a registry's entries; it does not list them, they are read off it."""
    aliases = {alias: name for alias, (name, _) in registry._entries.items()}
    return {alias: name for alias, name in aliases.items() if alias != _normalised(name)}


def _lookup(entries: dict[str, SectionSpec], name, aliases: dict) -> SectionSpec | None:
    if not isinstance(name, str):
        return None
    name = aliases.get(_normalised(name), name)
    return {_normalised(key): spec for key, spec in entries.items()}.get(_normalised(name))


def _normalised(name: str) -> str:
    return name.replace("_", "-").lower()


def _section_from_json(entry: dict) -> SectionSpec:
    fields = {
        name: FieldSpec(**{**spec, "kinds": tuple(spec["kinds"])})
        for name, spec in entry["fields"].items()
    }
    return SectionSpec(entry["name"], fields, entry["doc"], entry["open_ended"])
