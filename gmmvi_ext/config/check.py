"""Checks a merged configuration against the catalogue and fills in the defaults.

Every problem becomes one line with file, line, key and expectation; all are reported at once.
"""

import functools
import re

from gmmvi_ext.config import sections
from gmmvi_ext.config.catalog import Catalog
from gmmvi_ext.config.codewords import ROLE_LETTERS
from gmmvi_ext.config.errors import Origin, Problem, did_you_mean
from gmmvi_ext.config.fields import (
    MISSING,
    FieldSpec,
    SectionSpec,
    conform,
    section_from_dataclass,
)
from gmmvi_ext.config.nodes import Node, from_plain

__all__ = ["SECTIONS", "checked", "known_keys", "refusal_key", "section_spec"]

DEFAULT = Origin("default")
SECTIONS = {
    "model_initialization": sections.ModelInitialization,
    "gmmvi_runner_config": sections.RunnerConfig,
    "training": sections.TrainingSettings,
    "distribution": sections.DistributionSettings,
    "outputs": sections.OutputSettings,
    "mmd_evaluation_config": sections.MmdEvaluation,
}
_OPTIONAL_SECTIONS = ("mmd_evaluation_config",)
PYTHON_TARGET = SectionSpec(
    "python",
    {
        "num_dimensions": FieldSpec(
            ("int", "null"),
            None,
            minimum=1,
            expected="at least 1",
            doc="of a bare log density whose parameters are not named in `shapes`",
        ),
        "is_graph_safe": FieldSpec(
            ("bool",), True, doc="false: a host function (NumPy), never to be traced"
        ),
        "batched": FieldSpec(("bool",), True, doc="false: the function takes a single point"),
        "gradient": FieldSpec(
            ("str", "null"),
            None,
            doc="function of the same file: gradient for the constrained values, on the host",
        ),
    },
    "A log density of your own, or a function without arguments that returns one, a pinned TFP "
    "joint distribution or a Target.",
)
PARTS = {
    "shapes": "name -> shape of each parameter of a python: log density, [] for a number",
    "constraints": "name -> constraint, e.g. positive or interval(0, 1), of a python: target",
}


@functools.cache
def section_spec(name: str) -> SectionSpec:
    """Description of a section beside the roles; `top` for the single keys."""
    return section_from_dataclass(sections.TopLevel if name == "top" else SECTIONS[name], name)


def known_keys() -> list[str]:
    """All keys of the top level."""
    roles = [f"{role}_{part}" for role in ROLE_LETTERS for part in ("type", "config")]
    return [
        "algorithm",
        "defaults",
        "environment_name",
        "environment_config",
        *PARTS,
        *SECTIONS,
        *section_spec("top").fields,
        *roles,
    ]


def checked(
    tree: dict[str, Node], names: Catalog, *, needs_target: bool = True, source: str = "config"
) -> tuple[dict[str, Node], list[Problem]]:
    """The complete configuration, and everything that is wrong with it.

    Args:
      tree: merged layers.
      names: rules and targets that exist.
      needs_target: whether `environment_name` must be there.
      source: names the configuration where no line can be given.
    """
    problems: list[Problem] = []
    full: dict[str, Node] = {}
    _check_target(tree, names, source if needs_target else None, full, problems)
    _check_parts(tree, full, problems)
    for name, cls in SECTIONS.items():
        if name not in tree and name in _OPTIONAL_SECTIONS:
            continue
        full[name] = _section(tree.get(name), name, section_spec(name), problems)
        if not any(problem.key.startswith(f"{name}.") for problem in problems):
            _ask_class(cls, full[name], name, problems)
    for role in ROLE_LETTERS:
        _check_role(role, tree, names, full, problems)
    top = section_spec("top")
    single = Node({key: tree[key] for key in top.fields if key in tree}, DEFAULT)
    count = len(problems)
    values = _section(single, "", top, problems)
    if len(problems) == count:
        _ask_class(sections.TopLevel, values, "", problems)
    full |= values.value
    known = known_keys()
    for key, node in tree.items():
        if key not in known:
            shown = key if key.strip() else repr(key)
            problems.append(Problem(node.origin, shown, f"unknown key.{_key_hint(key, known)}"))
    return full, sorted(problems, key=_reading_order(problems))


def refusal_key(error: Exception) -> str:
    """The setting that a class's own message names in backticks, or nothing."""
    match = re.match(r"`(?:\w+`: `)?(\w+)`", str(error))
    return match.group(1) if match else ""


def _check_target(tree, names: Catalog, source: str | None, full: dict, problems: list) -> None:
    node = tree.get("environment_name")
    if node is None:
        if source is not None:
            choices = ", ".join(sorted(names.targets))
            problems.append(
                Problem(
                    Origin(source),
                    "environment_name",
                    f"missing; name the target, one of {choices}, or python:FILE.py:FUNCTION.",
                )
            )
        return
    full["environment_name"] = node
    spec = names.target(node.value)
    if isinstance(node.value, str) and node.value.startswith("python:"):
        spec = PYTHON_TARGET
        if node.value.count(":") < 2:
            message = f"expected python:FILE.py:FUNCTION, got {node.value!r}."
            problems.append(Problem(node.origin, "environment_name", message))
            return
    elif spec is None:
        choices = ", ".join(sorted(names.targets))
        message = (
            f"unknown target {node.value!r}; choose one of {choices}, or python:FILE.py:FUNCTION."
            f"{did_you_mean(node.value, names.targets)}"
        )
        problems.append(Problem(node.origin, "environment_name", message))
        return
    section = tree.get("environment_config")
    full["environment_config"] = _section(
        section, "environment_config", spec, problems, fill=False, owner=node
    )


def _check_parts(tree, full: dict, problems: list) -> None:
    """`shapes` and `constraints` as far as plain values tell; the rest shows when it is built."""
    name = tree.get("environment_name")
    is_python = name is not None and str(name.value).startswith("python:")
    for section in PARTS:
        node = tree.get(section)
        if node is None or node.value is None:
            continue
        full[section] = node
        if not is_python:
            message = "belongs to a target of your own, environment_name: python:FILE.py:FUNCTION."
            problems.append(Problem(node.origin, section, message))
        elif section == "constraints" and isinstance(node.value, str):
            continue  # of the whole vector
        elif not isinstance(node.value, dict) or not node.value:
            message = f"expected `name: {section.removesuffix('s')}` lines."
            problems.append(Problem(node.origin, section, message))
        else:
            problems += _part_problems(section, node, tree.get("shapes"))


def _part_problems(section: str, node: Node, shapes: Node | None) -> list[Problem]:
    problems = []
    for name, item in node.value.items():
        key, value, message = f"{section}.{name}", item.plain(), None
        if section == "shapes" and not _is_shape(value):
            message = f"expected [] for a number or [8] for a vector of eight, got {value!r}."
        elif section == "constraints" and not isinstance(value, str | dict | None):
            message = f"expected a constraint such as positive or interval(0, 1), got {value!r}."
        elif section == "constraints" and shapes is not None and isinstance(shapes.value, dict):
            if name not in shapes.value:
                known = ", ".join(shapes.value)
                hint = did_you_mean(name, shapes.value)
                message = f"no such parameter; `shapes` has {known}.{hint}"
        if message is not None:
            problems.append(Problem(item.origin, key, message))
    return problems


def _is_shape(value) -> bool:
    sizes = value if isinstance(value, list) else [value]
    return all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes)


def _check_role(role: str, tree, names: Catalog, full: dict, problems: list) -> None:
    type_key, config_key = f"{role}_type", f"{role}_config"
    node = tree[type_key]
    spec = names.rule(role, node.value)
    if spec is None:
        choices = sorted(names.rules.get(role, {}))
        message = (
            f"unknown name {node.value!r}; choose one of {', '.join(choices)}."
            f"{did_you_mean(str(node.value).replace('_', '-'), choices)}"
        )
        problems.append(Problem(node.origin, type_key, message))
        return
    full[type_key] = Node(spec.name, node.origin)
    full[config_key] = _section(tree.get(config_key), config_key, spec, problems, owner=node)


def _section(
    node: Node | None,
    path: str,
    spec: SectionSpec,
    problems: list[Problem],
    *,
    fill: bool = True,
    owner: Node | None = None,
) -> Node:
    """The section with converted values and defaults; appends what is wrong."""
    node = Node({}, owner.origin if owner else DEFAULT) if node is None else node
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
            of = f" of {owner.value!r}" if owner else ""
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
        elif fill:
            values[key] = from_plain(field.default, DEFAULT)
    return Node(values, node.origin)


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
    """What the class itself refuses: relations between settings."""
    values = node.plain()
    try:
        cls(**values)
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


def _key_hint(key: str, known: list[str]) -> str:
    hint = did_you_mean(key, known)
    if hint:
        return hint
    homes = [f"{name}.{key}" for name in SECTIONS if key in section_spec(name).fields]
    return f" Did you mean {homes[0]!r}?" if homes else f" There are: {', '.join(known)}."
