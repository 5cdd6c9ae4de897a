"""What configurations can say, in words."""

from gmmvi_ext.config.catalog import Catalog
from gmmvi_ext.config.check import PARTS, PYTHON_TARGET, SECTIONS, section_spec
from gmmvi_ext.config.codewords import ROLE_LETTERS, expand_code_word
from gmmvi_ext.config.errors import did_you_mean
from gmmvi_ext.config.fields import MISSING, SectionSpec
from gmmvi_ext.config.shipped import shipped_names
from gmmvi_ext.config.vae_describe import vae_parts

__all__ = ["describe"]


def describe(name: str | None, names: Catalog) -> str:
    """Text about a rule, role, target, section or code word; about everything for None.

    Raises:
      ValueError: nothing is called that; names the nearest.
    """
    if name is None:
        return _overview(names)
    wanted = name.replace("_", "-").lower()
    parts = []
    for role, rules in names.rules.items():
        letters = {rule: letter for letter, rule in ROLE_LETTERS.get(role, {}).items()}
        for rule, section in rules.items():
            if wanted in (rule.replace("_", "-").lower(), role.replace("_", "-")):
                letter = f" (letter {letters[rule]})" if rule in letters else ""
                parts.append(_section(f"{role}_type: {rule}{letter}", section))
    target = names.target(name)
    if target is not None:
        parts.append(_section(f"environment_name: {target.name}", target))
    section_name = "top" if wanted == "top" else name
    if section_name in SECTIONS or section_name == "top":
        parts.append(_section(section_name, section_spec(section_name)))
    if wanted == "python":
        parts.append(_section("environment_name: python:FILE.py:FUNCTION", PYTHON_TARGET))
    if name in PARTS:
        parts.append(f"{name}\n  {PARTS[name]}")
    parts += vae_parts(wanted, _section)
    if not parts:
        try:
            types = expand_code_word(name)
        except ValueError:
            known = _known(names)
            raise ValueError(
                f"nothing is called {name!r}; `gmmvi-ext config describe` lists what there is."
                f"{did_you_mean(name, known)}"
            ) from None
        parts = ["\n".join(f"{role}_type: {rule}" for role, rule in types.items())]
    return "\n\n".join(parts)


def _overview(names: Catalog) -> str:
    lines = ["Roles (config describe NAME explains a rule):"]
    for role, rules in names.rules.items():
        letters = {rule: letter for letter, rule in ROLE_LETTERS.get(role, {}).items()}
        shown = ", ".join(f"{rule} ({letters.get(rule, '-')})" for rule in rules)
        lines.append(f"  {role + '_type':<32} {shown}")
    shown = ", ".join(sorted(names.targets))
    lines += ["", "Targets:", f"  {shown}, or python:FILE.py:FUNCTION (config describe python)"]
    lines += ["", "Sections:", f"  {', '.join([*SECTIONS, *PARTS])}, top"]
    lines += ["", "Models of another kind:", "  vae (config describe vae)"]
    lines += ["", "Shipped experiments:", f"  {', '.join(shipped_names())}"]
    return "\n".join(lines)


def _section(title: str, section: SectionSpec) -> str:
    lines = [title] + ([f"  {section.doc}"] if section.doc else [])
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
    return (
        {None: "null", True: "true", False: "false"}[value]
        if (value is None or isinstance(value, bool))
        else str(value)
    )


def _known(names: Catalog) -> list[str]:
    rules = [rule for rules in names.rules.values() for rule in rules]
    return [*rules, *names.rules, *names.targets, *SECTIONS, *PARTS, "python", "top"]
