"""A checked, complete configuration that still knows where every value came from."""

import copy
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gmmvi_ext.config import nodes
from gmmvi_ext.config.codewords import AUTO
from gmmvi_ext.config.document import Document
from gmmvi_ext.config.errors import BASE, DEFAULT, Origin
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.user_code import is_code

__all__ = ["Config"]


class Config:
    """What `load_config` returns.

    Attributes:
      document: the kind of configuration.
      notes: sentences about settings that a later layer made void.
      label: name of a target that is an object given in code.

    Example:
        >>> from gmmvi_ext.config import load_config
        >>> settings = {"environment_name": "funnel"}
        >>> config = load_config(settings, overrides=["training.max_evaluations=5000"])
        >>> config.training.max_evaluations, config.target_name
        (5000, 'funnel')
        >>> str(config.origin("training.max_evaluations"))
        '--set training.max_evaluations=5000'
    """

    def __init__(
        self,
        document: Document,
        tree: dict[str, nodes.Node],
        notes: Sequence[str] = (),
        *,
        reload: Callable[..., "Config"] | None = None,
    ):
        self.document = document
        self.label: str | None = None
        self._reload = reload
        self._tree = tree
        self.notes = list(notes)

    @functools.cached_property
    def values(self) -> dict:
        """Plain values, with the keys of the reference; shared, not to be changed."""
        return {key: node.plain() for key, node in self._tree.items()}

    def to_dict(self) -> dict:
        """A copy of the plain values."""
        return copy.deepcopy(self.values)

    def flat(self) -> dict[str, object]:
        """Plain values by dotted key."""
        return _flat(self.values)

    def origin(self, key: str) -> Origin:
        """Where the value at a dotted key came from; the nearest section where it has none."""
        return self.node(key).origin

    def node(self, key: str) -> nodes.Node:
        """The value at a dotted key with its origin; the nearest section where it has none."""
        node = nodes.Node(self._tree, Origin("config"))
        for part in key.split("."):
            if not isinstance(node.value, dict) or part not in node.value:
                break
            node = node.value[part]
        return node

    @property
    def is_auto(self) -> bool:
        """Whether the rules are left to the target: `algorithm: auto`."""
        return self.values.get("algorithm") == AUTO

    def written(self, key: str) -> Any:
        """The value at a dotted key if somebody wrote it, None if it is a default."""
        return None if self.origin(key) in (DEFAULT, BASE) else self.flat().get(key)

    def with_base(self, base: Mapping[str, object]) -> "Config":
        """The same files and overrides on top of another lowest layer of plain values."""
        if self._reload is None:
            raise ValueError("a configuration without files has no other layer to lie on.")
        config = self._reload(base=base)
        config.label = self.label
        return config

    @property
    def code_word(self) -> str | None:
        """What is fitted in a word: the seven letters of the rules; None for rules without."""
        roles = {role.name: self.values.get(role.type_key, "") for role in self.document.roles}
        return self.document.algorithm(roles)

    @property
    def algorithm_name(self) -> str:
        """What is run, for titles and tables: `auto`, the code word, or "custom rules"."""
        return AUTO if self.is_auto else self.code_word or "custom rules"

    @property
    def target_name(self) -> str | None:
        """What is fitted to: `environment_name`, or the data of a VAE."""
        return self.values.get(self.document.role(self.document.subject).type_key, self.label)

    def code_names(self) -> dict[str, str]:
        """Key -> `python:FILE.py:NAME` for everything that is code of the user's own."""
        keys = (role.type_key for role in self.document.roles if role.python)
        named = {key: self.values.get(key) for key in keys}
        return {key: name for key, name in named.items() if name is not None and is_code(name)}

    @property
    def seed(self) -> int:
        """`seed`, or `start_seed` where that is null."""
        seed = self.values["seed"]
        return self.values["start_seed"] if seed is None else seed

    def has_section(self, name: str) -> bool:
        """Whether configurations of this kind have the section."""
        return name in self.document.sections

    def section(self, name: str) -> Any:
        """A section as the dataclass that its document gives it.

        Raises:
          KeyError: the document has no such section.
        """
        if name not in self._sections:
            self._sections[name] = self.document.sections[name](**self.values[name])
        return self._sections[name]

    @functools.cached_property
    def _sections(self) -> dict[str, object]:
        return {}

    @property
    def training(self) -> Any:
        """The section `training`."""
        return self.section("training")

    @property
    def start(self) -> Any:
        """The section `start`."""
        return self.section("start")

    @property
    def importance_check(self) -> Any:
        """The section `importance_check`."""
        return self.section("importance_check")

    @property
    def coordinates(self) -> Any:
        """The section `coordinates`."""
        return self.section("coordinates")

    @property
    def explore(self) -> Any:
        """The section `explore`."""
        return self.section("explore")

    @property
    def component_weights(self) -> Any:
        """The section `component_weights`."""
        return self.section("component_weights")

    @property
    def population_monte_carlo(self) -> Any:
        """The section `population_monte_carlo`."""
        return self.section("population_monte_carlo")

    @property
    def parallel(self) -> Any:
        """The section `parallel`."""
        return self.section("parallel")

    @property
    def outputs(self) -> Any:
        """The section `outputs`."""
        return self.section("outputs")

    @property
    def log_interval(self) -> int:
        """Iterations between two rows of metrics."""
        reference = self.values.get("gmmvi_runner_config", {})
        return self.training.log_interval or reference["log_metrics_interval"]

    def to_yaml(self, *, origins: bool = False) -> str:
        """YAML text that loads to the same configuration; `origins` adds where values came from."""
        require_switches(origins=origins)
        lines: list[str] = []
        _emit(self._tree, "", origins, lines)
        return "\n".join(lines) + "\n"

    def differences(self, other: "Config", ignore: Sequence[str] = ()) -> list[str]:
        """`key: old -> new` for each value of `other` that differs; `ignore` lists sections."""
        mine, theirs = self.flat(), other.flat()
        absent = "(none)"
        return [
            f"{key}: {_flow(mine.get(key, absent))} -> {_flow(theirs.get(key, absent))}"
            for key in {**mine, **theirs}
            if mine.get(key, absent) != theirs.get(key, absent)
            and not any(key == name or key.startswith(f"{name}.") for name in ignore)
        ]


def _emit(tree: dict[str, nodes.Node], indent: str, origins: bool, lines: list[str]) -> None:
    for key, node in tree.items():
        name = _flow(key)
        if isinstance(node.value, dict) and node.value:
            lines.append(f"{indent}{name}:")
            _emit(node.value, indent + "  ", origins, lines)
            continue
        line = f"{indent}{name}: {_flow(node.plain())}"
        lines.append(f"{line:<60}  # {node.origin}" if origins else line)


def _flow(value) -> str:
    """One-line YAML; texts that would read as something else are quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        is_plain = re.fullmatch(r"[A-Za-z_][\w.+-]*", value)
        reads_back = is_plain and nodes.parse_yaml(value, "").value == value
        return value if reads_back else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return {"inf": ".inf", "-inf": "-.inf"}.get(str(value), ".nan")
        return repr(value)
    return (
        {None: "null", True: "true", False: "false"}.get(value, str(value))
        if (value is None or isinstance(value, bool))
        else str(value)
    )


def _flat(values: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
