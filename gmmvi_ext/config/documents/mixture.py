"""Configurations of a Gaussian mixture: a target, the seven design choices, how a run goes."""

import dataclasses

from gmmvi_ext.config import sections
from gmmvi_ext.config.codewords import (
    DEFAULT_CODE_WORD,
    ROLE_LETTERS,
    code_word_of,
    expand_code_word,
)
from gmmvi_ext.config.document import Column, Document, Names, Role, names_of
from gmmvi_ext.config.errors import Problem
from gmmvi_ext.config.fields import FieldSpec, SectionSpec, section_from_function
from gmmvi_ext.config.nodes import Node
from gmmvi_ext.registry import did_you_mean
from gmmvi_ext.user_code import is_code

__all__ = ["MIXTURE"]

_PYTHON_TARGET = SectionSpec(
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
_SIZES = {"type": "array", "items": {"type": "integer", "minimum": 1}}
_CONSTRAINT = {"type": ["string", "object", "null"]}
_PARTS: dict[str, dict] = {
    "shapes": {
        "type": ["object", "null"],
        "additionalProperties": {"anyOf": [{"type": "integer", "minimum": 1}, _SIZES]},
        "description": "name -> shape of each parameter of a python: log density, [] for a number",
    },
    "constraints": {
        "anyOf": [
            {"type": ["string", "null"]},
            {"type": "object", "additionalProperties": _CONSTRAINT},
        ],
        "description": "name -> constraint, e.g. positive or interval(0, 1), of a python: target",
    },
}


def _check_parts(tree: dict[str, Node], full: dict[str, Node]) -> list[Problem]:
    """`shapes` and `constraints` as far as plain values tell; the rest shows when it is built."""
    problems: list[Problem] = []
    name = tree.get("environment_name")
    is_python = name is not None and is_code(name.value)
    for section in _PARTS:
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
    return problems


def _part_problems(section: str, node: Node, shapes: Node | None) -> list[Problem]:
    known = shapes.value if shapes is not None and isinstance(shapes.value, dict) else None
    problems = []
    for name, item in node.value.items():
        key, value, message = f"{section}.{name}", item.plain(), None
        if section == "shapes" and not _is_shape(value):
            message = f"expected [] for a number or [8] for a vector of eight, got {value!r}."
        elif section == "constraints" and not isinstance(value, str | dict | None):
            message = f"expected a constraint such as positive or interval(0, 1), got {value!r}."
        elif section == "constraints" and str(name).count(")") > str(name).count("("):
            message = (
                "a comma has split a constraint in {...}; quote it, "
                '{a: "interval(0, 1)"}, or give each a line of its own.'
            )
        elif section == "constraints" and known is not None and name not in known:
            hint = did_you_mean(name, known)
            message = f"no such parameter; `shapes` has {', '.join(known)}.{hint}"
        if message is not None:
            problems.append(Problem(item.origin, key, message))
    return problems


def _is_shape(value) -> bool:
    sizes = value if isinstance(value, list) else [value]
    return all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes)


def _live_names() -> Names:
    from gmmvi_ext.inference.roles import ROLES
    from gmmvi_ext.targets.registry import TARGETS

    targets = names_of({"environment": TARGETS}, _target_section)
    rules = names_of(ROLES)
    return Names(targets.rules | rules.rules, targets.aliases | rules.aliases)


def _target_section(builder, name: str) -> SectionSpec:
    """Settings of a target; every one takes `seed` and `data_dir`, also where it has no use."""
    section = section_from_function(builder, name, ("dtype",))  # comes from the run
    common = {
        "seed": FieldSpec(("int", "null"), None, doc="fixes random targets and splits"),
        "data_dir": FieldSpec(("str", "null"), None, doc="folder looked into first for data"),
    }
    own = {key: field for key, field in section.fields.items() if key not in common}
    return dataclasses.replace(section, fields=own | common)


MIXTURE = Document(
    name="mixture",
    title="gmmvi_ext configuration",
    roles=(
        Role(
            "environment",
            type_key="environment_name",
            noun="target",
            python="FUNCTION",
            python_section=_PYTHON_TARGET,
            fills_defaults=False,
            dropped_with=tuple(_PARTS),
        ),
        *(
            Role(role, default, python="CLASS")
            for role, default in expand_code_word(DEFAULT_CODE_WORD).items()
        ),
    ),
    subject="environment",
    sections={
        "model_initialization": sections.ModelInitialization,
        "gmmvi_runner_config": sections.RunnerConfig,
        "start": sections.StartSettings,
        "importance_check": sections.ImportanceCheckSettings,
        "coordinates": sections.CoordinatesSettings,
        "training": sections.TrainingSettings,
        "explore": sections.ExploreSettings,
        "component_weights": sections.ComponentWeightsSettings,
        "population_monte_carlo": sections.PopulationMonteCarloSettings,
        "parallel": sections.ParallelSettings,
        "outputs": sections.OutputSettings,
        "mmd_evaluation_config": sections.MmdEvaluation,
    },
    optional_sections=("mmd_evaluation_config",),
    single_keys=sections.TopLevel,
    extra_keys=_PARTS,
    check_extra=_check_parts,
    letters=ROLE_LETTERS,
    algorithm=code_word_of,
    live_names=_live_names,
    live_rooms=("gmmvi_ext.inference.rule", "gmmvi_ext.targets.registry"),
    has_verdict=True,
    columns={
        "ELBO": Column("elbo", ".4f", "elbo_se", is_short=True),
        "log evidence": Column("log_evidence", ".4f", "log_evidence_se"),
        "k-hat": Column("khat", ".2f", is_short=True),
        "ESS": Column("ess", ".0f"),
        "modes": Column("num_modes", ".0f"),
        "K": Column("num_components", ".0f", is_short=True),
        "evaluations": Column("num_target_evaluations", ",.0f", is_short=True),
        "seconds": Column("train_seconds", ".1f", is_short=True),
    },
)
