"""What configurations can say, as JSON schemas for editors."""

from collections.abc import Iterable

from gmmvi_ext.config.catalog import Catalog
from gmmvi_ext.config.check import PARTS, SECTIONS, section_spec
from gmmvi_ext.config.fields import MISSING, FieldSpec, SectionSpec, section_from_dataclass
from gmmvi_ext.config.vae_catalog import VaeCatalog
from gmmvi_ext.config.vae_describe import vae_sections
from gmmvi_ext.config.vae_sections import VaeTop

__all__ = ["json_schema", "vae_json_schema"]

_JSON_TYPES = {
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "str": "string",
    "null": "null",
    "map": "object",
    "list": "array",
}
_DEFAULTS = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    "description": "files this one builds on",
}


def json_schema(names: Catalog) -> dict:
    """JSON schema (draft 2020-12) of a configuration file."""
    properties: dict = {
        "algorithm": {"type": "string", "description": "code word, SAMTRON for example"},
        "defaults": _DEFAULTS,
        "environment_name": {
            "anyOf": [
                {"enum": sorted(names.targets)},
                {"type": "string", "pattern": "^python:.+:.+$"},
                {"type": "string"},
            ]
        },
        "environment_config": {"type": ["object", "null"]},
        "shapes": {
            "type": ["object", "null"],
            "additionalProperties": {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "array", "items": {"type": "integer", "minimum": 1}},
                ]
            },
            "description": PARTS["shapes"],
        },
        "constraints": {
            "anyOf": [
                {"type": ["string", "null"]},
                {"type": "object", "additionalProperties": {"type": ["string", "object", "null"]}},
            ],
            "description": PARTS["constraints"],
        },
    }
    properties |= {key: _json_field(field) for key, field in section_spec("top").fields.items()}
    properties |= {name: _json_section(section_spec(name)) for name in SECTIONS}
    roles, choices = _roles(names.rules)
    properties |= roles
    return _document("gmmvi_ext configuration", properties, choices)


def vae_json_schema(names: VaeCatalog) -> dict:
    """JSON schema (draft 2020-12) of a configuration file with `model: vae`."""
    top = section_from_dataclass(VaeTop, "top").fields
    properties: dict = {"model": {"enum": ["vae"]}, "defaults": _DEFAULTS}
    properties |= {key: _json_field(field) for key, field in top.items()}
    variates = _spellings(names.control_variates)
    properties["control_variates"] |= {"items": {"enum": variates}}
    properties |= {key: _json_section(spec) for key, spec in vae_sections(names).items()}
    roles, choices = _roles(names.rules, names.aliases)
    return _document("gmmvi_ext configuration of a VAE", properties | roles, choices)


def _document(title: str, properties: dict, choices: list[dict]) -> dict:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "allOf": choices,
    }


def _roles(rules_by_role: dict, aliases: dict | None = None) -> tuple[dict, list[dict]]:
    """Keys `<role>_type`, `<role>_config`, and what the second holds for each value of the first.

    Args:
      rules_by_role: role -> rule -> its settings.
      aliases: role -> other names of rules -> registered name.
    """
    properties, choices = {}, []
    for role, rules in rules_by_role.items():
        others = (aliases or {}).get(role, {})
        properties[f"{role}_type"] = {"enum": _spellings([*rules, *others])}
        properties[f"{role}_config"] = {"type": ["object", "null"]}
        for rule, section in rules.items():
            same = _spellings([rule, *(name for name, to in others.items() if to == rule)])
            choices.append(
                {
                    "if": {
                        "properties": {f"{role}_type": {"enum": same}},
                        "required": [f"{role}_type"],
                    },
                    "then": {"properties": {f"{role}_config": _json_section(section)}},
                }
            )
    return properties, choices


def _spellings(names: Iterable[str]) -> list[str]:
    """Names with hyphens and with underscores."""
    return sorted(
        {each for name in names for each in (name, name.replace("-", "_"), name.replace("_", "-"))}
    )


def _json_section(section: SectionSpec) -> dict:
    return {
        "type": ["object", "null"],
        "description": section.doc,
        "properties": {key: _json_field(field) for key, field in section.fields.items()},
        "additionalProperties": section.open_ended,
        "required": [k for k, field in section.fields.items() if field.default == MISSING],
    }


def _json_field(field: FieldSpec) -> dict:
    options = [option for option in map(_json_kind, field.kinds)]
    schema: dict = options[0] if len(options) == 1 else {"anyOf": options}
    if field.doc:
        schema["description"] = field.doc
    if field.default != MISSING:
        schema["default"] = field.default
    for name, value in (("inimum", field.minimum), ("aximum", field.maximum)):
        is_exclusive = getattr(field, f"exclusive_m{name}")
        if value is not None:
            schema[f"exclusiveM{name}" if is_exclusive else f"m{name}"] = value
    return schema


def _json_kind(kind: str) -> dict:
    if kind.startswith("'"):
        return {"const": kind[1:-1]}
    if kind.startswith("list["):
        return {"type": "array", "items": _json_kind(kind[5:-1])}
    return {"type": _JSON_TYPES[kind]} if kind in _JSON_TYPES else {}
