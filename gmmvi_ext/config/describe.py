"""What configurations can say, in words."""

from collections.abc import Mapping

from gmmvi_ext.config.catalog import constraint_calls
from gmmvi_ext.config.codewords import expand_code_word
from gmmvi_ext.config.document import Document, Names
from gmmvi_ext.config.documents import DOCUMENTS, MIXTURE
from gmmvi_ext.config.fields import MISSING, SectionSpec
from gmmvi_ext.config.shipped import shipped_names
from gmmvi_ext.registry import did_you_mean, normalized_name

__all__ = ["describe"]


def describe(name: str | None, names: Mapping[str, Names]) -> str:
    """Text about a rule, role, target, section, key, model or code word; an overview for None.

    Args:
      name: what is asked about.
      names: document -> what exists.

    Raises:
      ValueError: nothing is called that; names the nearest.
    """
    if name is None:
        others = ", ".join(each for each in DOCUMENTS if each != MIXTURE.name)
        lines = [_overview(MIXTURE, names[MIXTURE.name]), ""]
        lines += ["Models of another kind:", f"  {others} (config describe vae)", ""]
        return "\n".join([*lines, "Shipped experiments:", f"  {', '.join(shipped_names())}"])
    parts = [_overview(DOCUMENTS[name], names[name])] if name in DOCUMENTS else []
    for document in DOCUMENTS.values():
        parts += _parts(normalized_name(name), document, names)
    if not parts:
        try:
            types = expand_code_word(name)
        except ValueError:
            raise ValueError(
                f"nothing is called {name!r}; `gmmvi-ext config describe` lists what there is."
                f"{did_you_mean(name, _known(names))}"
            ) from None
        parts = ["\n".join(f"{role}_type: {rule}" for role, rule in types.items())]
    return "\n\n".join(parts)


def _parts(wanted: str, document: Document, all_names: Mapping[str, Names]) -> list[str]:
    """What a document calls `wanted`."""
    names = all_names[document.name]
    head = "" if document is MIXTURE else f"model: {document.name}, "
    parts = []
    for role in document.roles:
        found = names.rule(role.name, wanted)
        for rule, section in names.rules[role.name].items():
            if section is found or wanted == normalized_name(role.name):
                mark = _mark(document, role.name, rule)
                parts.append(_section(f"{head}{role.type_key}: {rule}{mark}", section))
        if role.python and wanted == "python" and role.python_section is not None:
            title = f"{head}{role.type_key}: python:FILE.py:{role.python}"
            parts.append(_section(title, role.python_section))
    for name, section in {**document.all_sections(names), "top": document.single_spec}.items():
        if wanted == normalized_name(name):
            parts.append(_section(f"{head}{name}", section))
    for name, schema in document.extra_keys.items():
        if wanted == normalized_name(name):
            lines = [f"{head}{name}", f"  {schema['description']}"]
            calls = constraint_calls() if name == "constraints" else {}
            parts.append("\n".join([*lines, *_listed(calls)]))
    if document is MIXTURE:
        for call, words in constraint_calls().items():
            if normalized_name(call.partition("(")[0]) == wanted:
                parts.append(f"constraint: {call}\n  {words}")
    return parts


def _listed(calls: Mapping[str, str]) -> list[str]:
    return [line for call, words in calls.items() for line in (f"  {call}", f"    {words}")]


def _mark(document: Document, role: str, rule: str) -> str:
    """` (S, default)`: letter of a code word, and whether the rule is the default."""
    letters = document.letters.get(role, {})
    words = [letter for letter, name in letters.items() if name == rule]
    words += ["default"] * (document.role(role).default == rule)
    return f" ({', '.join(words)})" if words else ""


def _overview(document: Document, names: Names) -> str:
    lines = [f"{document.title} (config describe NAME explains each of these)", ""]
    lines.append("Roles, with letters of code words:" if document.letters else "Roles:")
    for role in document.roles:
        rules = [f"{rule}{_mark(document, role.name, rule)}" for rule in names.rules[role.name]]
        rules += [f"python:FILE.py:{role.python}"] * bool(role.python)
        lines.append(f"  {role.type_key:<32} {', '.join(rules)}")
    for key, choices in names.choices.items():
        lines.append(f"  {key:<32} {', '.join(choices)}")
    sections = [*document.all_sections(names), *document.extra_keys, "top"]
    lines += ["", "Sections:", f"  {', '.join(sections)}"]
    return "\n".join(lines)


def _section(title: str, section: SectionSpec) -> str:
    lines = [title] + ([f"  {section.doc}"] if section.doc else [])
    if section.has_mode:
        lines.append(f"  `{section.name}: WORD` is short for `{section.name}: {{mode: WORD}}`.")
    width = max(map(len, section.fields), default=0)
    for key, field in section.fields.items():
        default = "required" if field.default == MISSING else f"default {_shown(field.default)}"
        limits = f", {field.expected}" if field.expected else ""
        lines.append(f"  {key:<{width}}  {field.words()}{limits}; {default}")
        if field.doc:
            lines.append(f"  {'':<{width}}    {field.doc}")
    if not section.fields:
        lines.append("  no settings")
    return "\n".join(lines)


def _shown(value) -> str:
    is_word = value is None or isinstance(value, bool)
    return {None: "null", True: "true", False: "false"}[value] if is_word else str(value)


def _known(names: Mapping[str, Names]) -> list[str]:
    known = [*DOCUMENTS, "python", "top"]
    known += [call.partition("(")[0] for call in constraint_calls()]
    for name, document in DOCUMENTS.items():
        known += [rule for rules in names[name].rules.values() for rule in rules]
        known += [role.name for role in document.roles]
        known += [*document.all_sections(names[name]), *document.extra_keys]
    return known
