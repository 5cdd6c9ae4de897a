"""Checks a merged configuration against its document and fills in the defaults.

Every problem becomes one line with file, line, key and expectation; all are reported at once.
"""

import re

from gmmvi_ext.config.document import Document, Names, Role
from gmmvi_ext.config.errors import DEFAULT, Origin, Problem
from gmmvi_ext.config.fields import MISSING, FieldSpec, SectionSpec, conform
from gmmvi_ext.config.nodes import Node, from_plain
from gmmvi_ext.registry import did_you_mean, normalized_name
from gmmvi_ext.user_code import is_code

__all__ = ["DEFAULT", "check_section", "checked", "refusal_key"]

_ANYTHING = SectionSpec("any", {}, open_ended=True)  # said by the user's own code once it is built


def checked(
    document: Document,
    tree: dict[str, Node],
    names: Names,
    *,
    needs_subject: bool = True,
    source: str = "config",
) -> tuple[dict[str, Node], list[Problem]]:
    """The complete configuration, and everything that is wrong with it.

    Args:
      document: kind of configuration.
      tree: merged layers.
      names: what exists.
      needs_subject: whether the target (or the data) must be named.
      source: names the configuration where no line can be given.
    """
    problems: list[Problem] = []
    full: dict[str, Node] = {}
    full |= {key: tree[key] for key in ("model", "algorithm") if key in tree}
    for role in document.roles:
        is_needed = needs_subject or role.name != document.subject
        _check_role(role, tree, names, full, problems, source if is_needed else None)
    if document.check_extra is not None:
        problems += document.check_extra(tree, full)
    for name, spec in document.all_sections(names).items():
        if name not in tree and name in document.optional_sections:
            continue
        full[name] = check_section(tree.get(name), name, spec, problems)
        if name in document.sections:
            _ask_class(document.sections[name], full[name], name, problems)
    spec = document.single_spec
    single = Node({key: tree[key] for key in spec.fields if key in tree}, DEFAULT)
    values = check_section(single, "", spec, problems)
    _ask_class(document.single_keys, values, "", problems)
    full |= values.value
    for key, allowed in names.choices.items():
        _check_choices(key, full[key], allowed, problems)
    known = document.known_keys(names)
    for key, node in tree.items():
        if key not in known:
            shown = key if key.strip() else repr(key)
            hint = _section_hint(key, document, names) or did_you_mean(key, known)
            hint = hint or f" There are: {', '.join(known)}."
            of = f" of `model: {document.name}`" if "model" in tree else ""
            problems.append(Problem(node.origin, shown, f"unknown key{of}.{hint}"))
    return full, sorted(problems, key=_reading_order(problems))


def refusal_key(error: Exception) -> str:
    """The setting that a class's own message names in backticks, or nothing."""
    match = re.match(r"`(?:\w+`: `)?(\w+)`", str(error))
    return match.group(1) if match else ""


def check_section(
    node: Node | None,
    path: str,
    spec: SectionSpec,
    problems: list[Problem],
    *,
    fills: bool = True,
    owner: Node | None = None,
    kind: str = "",
) -> Node:
    """The section with converted values and defaults.

    Args:
      node: as written; None where it was not.
      path: its key; "" for the top level.
      spec: what it may hold.
      problems: receives what is wrong.
      fills: whether settings that are left out are filled in.
      owner: what is named where the settings are absent.
      kind: whose settings these are, for messages; that of `owner` unless given.
    """
    node = Node({}, owner.origin if owner else DEFAULT) if node is None else node
    name = kind or (owner.value if owner else "")
    entries = {} if node.value is None else node.value
    if not isinstance(entries, dict):
        problems.append(Problem(node.origin, path, "expected `key: value` lines, got a value."))
        entries = {}
    values: dict[str, Node] = {}
    for key, item in entries.items():
        key_path = f"{path}.{key}" if path else key
        field = spec.fields.get(key)
        if field is None:
            if spec.open_ended:
                values[key] = item
                continue
            of = f" of {name!r}" if name else ""
            allowed = ", ".join(spec.fields) or "none"
            hint = did_you_mean(key, spec.fields)
            message = f"unknown key{of}; there are: {allowed}.{hint}"
            problems.append(Problem(item.origin, key_path, message))
            continue
        value, wrong = conform(item.plain(), field)
        if wrong is not None:
            problems.append(Problem(_item_origin(item, field), key_path, wrong))
        values[key] = Node(from_plain(value, item.origin).value, item.origin)
    for key, field in spec.fields.items():
        if key in values:
            continue
        if field.default == MISSING:
            key_path = f"{path}.{key}" if path else key
            problems.append(Problem(node.origin, key_path, f"missing; expected {field.words()}."))
        elif fills:
            values[key] = from_plain(field.default, DEFAULT)
    return Node(values, node.origin)


def _check_role(
    role: Role, tree, names: Names, full: dict, problems: list[Problem], source: str | None
) -> None:
    """What fills a role, and its settings; `source` is None where nothing has to fill it."""
    node = tree.get(role.type_key)
    if node is None and role.default is not None:
        node = Node(role.default, DEFAULT)
    choices = ", ".join(sorted(names.rules[role.name]))
    more = f", or python:FILE.py:{role.python}" if role.python else ""
    if node is None:
        if source is not None:
            message = f"missing; name the {role.noun}, one of {choices}{more}."
            problems.append(Problem(Origin(source), role.type_key, message))
        return
    full[role.type_key] = node
    spec = names.rule(role.name, node.value)
    if role.python and is_code(node.value):
        if node.value.count(":") < 2:
            message = f"expected python:FILE.py:{role.python}, got {node.value!r}."
            problems.append(Problem(node.origin, role.type_key, message))
            return
        spec = role.python_section or _ANYTHING
    if spec is None:
        message = (
            f"unknown {role.noun} {node.value!r}; choose one of {choices}{more}."
            f"{did_you_mean(node.value, names.rules[role.name])}"
        )
        problems.append(Problem(node.origin, role.type_key, message))
        return
    if role.fills_defaults and not is_code(node.value):
        full[role.type_key] = Node(spec.name, node.origin)
    section = tree.get(role.config_key)
    full[role.config_key] = check_section(
        section, role.config_key, spec, problems, fills=role.fills_defaults, owner=node
    )


def _check_choices(key: str, node: Node, allowed, problems: list[Problem]) -> None:
    for name in node.plain() if isinstance(node.value, list) else ():
        if normalized_name(name) not in map(normalized_name, allowed):
            message = (
                f"unknown name {name!r}; choose among {', '.join(allowed)}."
                f"{did_you_mean(name, allowed)}"
            )
            problems.append(Problem(node.origin, key, message))


def _item_origin(node: Node, field: FieldSpec) -> Origin:
    """Line of the first list item that is off, where the value is a list; else its own."""
    if isinstance(node.value, list):
        for kind in field.kinds:
            if kind.startswith("list["):
                item_spec = FieldSpec((kind[5:-1],))
                for item in node.value:
                    if conform(item.plain(), item_spec)[1] is not None:
                        return item.origin
    return node.origin


def _ask_class(cls: type, node: Node, path: str, problems: list[Problem]) -> None:
    """What the class itself refuses where every value is fine: relations between settings."""
    if any(problem.key.partition(".")[0] == path for problem in problems if path):
        return
    if not path and any(problem.key in node.value for problem in problems):
        return
    try:
        cls(**node.plain())
    except (TypeError, ValueError) as error:
        key = refusal_key(error)
        origin = node.value[key].origin if key in node.value else node.origin
        full = ".".join(part for part in (path, key) if part)
        message = re.sub(r"^`\w+` ", "", str(error))
        problems.append(Problem(origin, full, message))


def _reading_order(problems: list[Problem]):
    """Sort key: files as they first appear, lines from the top."""
    sources = list(dict.fromkeys(problem.origin.source for problem in problems))
    return lambda problem: (sources.index(problem.origin.source), problem.origin.line or 0)


def _section_hint(key: str, document: Document, names: Names) -> str:
    sections = document.all_sections(names)
    homes = [f"{name}.{key}" for name, spec in sections.items() if key in spec.fields]
    return f" Did you mean {' or '.join(map(repr, homes[:3]))}?" if homes else ""
