"""What configurations can say, as JSON schemas for editors."""

from collections.abc import Iterable

from gmmvi_ext.config.document import Document, Names, Role
from gmmvi_ext.config.fields import MISSING, FieldSpec, SectionSpec

__all__ = ["json_schema"]

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
_ALGORITHM = {"type": "string", "description": "code word, SAMTRON for example, or auto"}


def json_schema(document: Document, names: Names) -> dict:
    """JSON schema (draft 2020-12) of the configuration files of a kind."""
    properties: dict = {"model": {"enum": [document.name]}, "defaults": _DEFAULTS}
    if document.letters:
        properties["algorithm"] = _ALGORITHM
    choices: list[dict] = []
    for role in document.roles:
        properties |= _role(role, names)
        choices += _role_choices(role, names)
    properties |= document.extra_keys
    single = document.single_spec.fields
    properties |= {key: _json_field(field) for key, field in single.items()}
    for key, allowed in names.choices.items():
        properties[key] = properties[key] | {"items": {"enum": _spellings(allowed)}}
    sections = document.all_sections(names)
    properties |= {name: _json_section(section) for name, section in sections.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": document.title,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "allOf": choices,
    }


def _role(role: Role, names: Names) -> dict:
    """The two keys of a role."""
    known: dict = {"enum": _spellings([*names.rules[role.name], *names.aliases[role.name]])}
    if role.python:
        known = {"anyOf": [known, {"type": "string", "pattern": "^python:.+:.+$"}]}
    return {role.type_key: known, role.config_key: {"type": ["object", "null"]}}


def _role_choices(role: Role, names: Names) -> list[dict]:
    """What the settings of a role are for each name that fills it."""
    choices = []
    for rule, section in names.rules[role.name].items():
        aliases = names.aliases[role.name].items()
        same = _spellings([rule, *(name for name, to in aliases if to == rule)])
        choices.append(
            {
                "if": {
                    "properties": {role.type_key: {"enum": same}},
                    "required": [role.type_key],
                },
                "then": {"properties": {role.config_key: _json_section(section)}},
            }
        )
    return choices


def _spellings(names: Iterable[str]) -> list[str]:
    """Names with hyphens and with underscores."""
    return sorted(
        {each for name in names for each in (name, name.replace("-", "_"), name.replace("_", "-"))}
    )


def _json_section(section: SectionSpec) -> dict:
    schema = {
        "type": ["object", "null"],
        "description": section.doc,
        "properties": {key: _json_field(field) for key, field in section.fields.items()},
        "additionalProperties": section.open_ended,
        "required": [k for k, field in section.fields.items() if field.default == MISSING],
    }
    if not section.has_mode:
        return schema
    return {"description": section.doc, "anyOf": [_json_field(section.fields["mode"]), schema]}


def _json_field(field: FieldSpec) -> dict:
    options = [_json_kind(kind, field) for kind in field.kinds]
    schema: dict = options[0] if len(options) == 1 else {"anyOf": options}
    if field.doc:
        schema["description"] = field.doc
    if field.default != MISSING:
        schema["default"] = field.default
    return schema


def _json_kind(kind: str, field: FieldSpec) -> dict:
    if kind.startswith("'"):
        return {"const": kind[1:-1]}
    if kind.startswith("list["):
        return {"type": "array", "items": _json_kind(kind[5:-1], field)}
    schema: dict = {"type": _JSON_TYPES[kind]} if kind in _JSON_TYPES else {}
    if kind in ("int", "float"):
        if field.minimum is not None:
            schema[f"{'exclusiveM' if field.exclusive_minimum else 'm'}inimum"] = field.minimum
        if field.maximum is not None:
            schema[f"{'exclusiveM' if field.exclusive_maximum else 'm'}aximum"] = field.maximum
    return schema
