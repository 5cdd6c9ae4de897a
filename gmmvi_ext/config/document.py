"""A kind of configuration file: which keys it has, what they are called, who runs it.

Checking, describing, JSON schemas, snapshots and the command line have one body each, which reads
a `Document`; `documents` holds the two there are.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

from gmmvi_ext.config.errors import Problem
from gmmvi_ext.config.fields import FieldSpec, SectionSpec, section_from_dataclass
from gmmvi_ext.config.nodes import Node
from gmmvi_ext.registry import Registry, normalized_name

__all__ = ["Column", "Document", "Names", "Role", "names_of"]


@dataclasses.dataclass(frozen=True)
class Role:
    """Two keys: one names what fills the role, the other holds its settings.

    Attributes:
      name: in the catalog.
      default: what fills it where a file says nothing; None if a file has to say it.
      type_key, config_key: the keys; made from the name unless given.
      noun: what fills it, for messages.
      python: what the user's own code is, as a message says it (FUNCTION, CLASS); "" for none.
      python_section: settings of the user's own code; None where the code itself tells.
      fills_defaults: whether settings that are left out are filled in.
      dropped_with: further keys whose values belong to what fills the role.
    """

    name: str
    default: str | None = None
    type_key: str = ""
    config_key: str = ""
    noun: str = "name"
    python: str = ""
    python_section: SectionSpec | None = None
    fills_defaults: bool = True
    dropped_with: tuple[str, ...] = ()

    def __post_init__(self):
        for part in ("type", "config"):
            if not getattr(self, f"{part}_key"):
                object.__setattr__(self, f"{part}_key", f"{self.name}_{part}")


@dataclasses.dataclass(frozen=True)
class Column:
    """A column in tables of runs.

    Attributes:
      key: of `summary.json` and of rows of metrics.
      form: of the number, as `format` takes it.
      error_key: of its standard error; "" for none.
      is_short: whether it is shown on a terminal, too.
    """

    key: str
    form: str
    error_key: str = ""
    is_short: bool = False


@dataclasses.dataclass(frozen=True)
class Names:
    """What a document's keys may name.

    Attributes:
      rules: role -> name -> its settings.
      aliases: role -> other names -> registered name.
      sections: sections whose classes need TensorFlow -> their settings.
      choices: single key -> what its list may hold.
    """

    rules: dict[str, dict[str, SectionSpec]]
    aliases: dict[str, dict[str, str]]
    sections: dict[str, SectionSpec] = dataclasses.field(default_factory=dict)
    choices: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def rule(self, role: str, name) -> SectionSpec | None:
        """Settings of what is called `name`; hyphens, underscores and case do not matter."""
        if not isinstance(name, str):
            return None
        name = self.aliases.get(role, {}).get(normalized_name(name), name)
        return self._normalized(role).get(normalized_name(name))

    def _normalized(self, role: str) -> dict[str, SectionSpec]:
        return {normalized_name(key): spec for key, spec in self.rules.get(role, {}).items()}

    def to_json(self) -> dict:
        """Plain values without what is a default anyway."""
        return {
            "rules": {
                role: {name: _plain_section(section) for name, section in entries.items()}
                for role, entries in self.rules.items()
            },
            "aliases": self.aliases,
            "sections": {name: _plain_section(section) for name, section in self.sections.items()},
            "choices": {key: list(names) for key, names in self.choices.items()},
        }

    @classmethod
    def from_json(cls, data: dict) -> "Names":
        """Reads what `to_json` made."""
        return cls(
            {
                role: {name: _section_from(entry) for name, entry in entries.items()}
                for role, entries in data["rules"].items()
            },
            data["aliases"],
            {name: _section_from(entry) for name, entry in data["sections"].items()},
            {key: tuple(names) for key, names in data["choices"].items()},
        )


def names_of(registries: Mapping[str, Registry], describe=section_from_dataclass, **more) -> Names:
    """Names from registries.

    Args:
      registries: role -> its registry.
      describe: (entry, name) -> its settings.
      **more: further fields of `Names`.
    """
    rules = {
        role: {name: describe(registry.get(name), name) for name in registry}
        for role, registry in registries.items()
    }
    return Names(rules, {role: each.aliases for role, each in registries.items()}, **more)


@dataclasses.dataclass(frozen=True)
class Document:
    """A kind of configuration file.

    Attributes:
      name: value of the key `model`; the first document is meant where there is no such key.
      title: of its JSON schema.
      roles: in the order of the files.
      subject: the role whose filling is what a run is about.
      sections: name -> dataclass that checks it.
      has_verdict: whether runs end with a verdict.
      optional_sections: those that are absent unless written.
      single_keys: dataclass of the keys of the top level.
      extra_keys: further key -> its JSON schema, with a `description`.
      check_extra: (merged tree, complete tree) -> what is wrong with the extra keys.
      letters: role -> letter -> name, of code words; empty where there are none.
      algorithm: names of the roles' fillings -> what is fitted in a word; None for no word.
      live_names: reads the registries; imports TensorFlow.
      live_rooms: modules; once one is imported, registries are read instead of the snapshot.
      columns: heading -> figure, in tables of runs.
    """

    name: str
    title: str
    roles: tuple[Role, ...]
    subject: str
    sections: Mapping[str, type]
    single_keys: type
    algorithm: Callable[[Mapping[str, str]], str | None]
    live_names: Callable[[], Names]
    live_rooms: tuple[str, ...]
    columns: Mapping[str, Column]
    has_verdict: bool = False
    optional_sections: tuple[str, ...] = ()
    extra_keys: Mapping[str, dict] = dataclasses.field(default_factory=dict)
    check_extra: Callable[[dict[str, Node], dict[str, Node]], list[Problem]] | None = None
    letters: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)

    def role(self, name: str) -> Role:
        """The role called `name`."""
        return next(role for role in self.roles if role.name == name)

    @functools.cached_property
    def section_specs(self) -> dict[str, SectionSpec]:
        """Settings of the sections that are described without TensorFlow."""
        return {name: section_from_dataclass(cls, name) for name, cls in self.sections.items()}

    @functools.cached_property
    def single_spec(self) -> SectionSpec:
        """Description of the single keys."""
        return section_from_dataclass(self.single_keys, "top")

    def all_sections(self, names: Names) -> dict[str, SectionSpec]:
        """Settings of all sections beside the roles."""
        return {**names.sections, **self.section_specs}

    def known_keys(self, names: Names) -> list[str]:
        """All keys of the top level."""
        return [
            *(["algorithm"] if self.letters else []),
            "model",
            "defaults",
            *(key for role in self.roles for key in (role.type_key, role.config_key)),
            *self.extra_keys,
            *self.all_sections(names),
            *self.single_spec.fields,
        ]


def _plain_section(section: SectionSpec) -> dict:
    fields = {name: _without_defaults(field) for name, field in section.fields.items()}
    return _without_defaults(section) | {"fields": fields}


def _without_defaults(spec) -> dict:
    values = {field.name: (getattr(spec, field.name), field) for field in dataclasses.fields(spec)}
    return {name: value for name, (value, field) in values.items() if value != field.default}


def _section_from(entry: dict) -> SectionSpec:
    fields = {
        name: FieldSpec(**{**spec, "kinds": tuple(spec["kinds"])})
        for name, spec in entry["fields"].items()
    }
    return SectionSpec(**{**entry, "fields": fields})
