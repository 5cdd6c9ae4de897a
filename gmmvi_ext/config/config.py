"""A checked, complete configuration that still knows where every value came from."""

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path

from gmmvi_ext.config import check, compose, nodes
from gmmvi_ext.config.catalog import Catalog, catalog
from gmmvi_ext.config.codewords import ROLE_LETTERS, code_word_of
from gmmvi_ext.config.errors import ConfigError, Origin
from gmmvi_ext.config.sections import DistributionSettings, OutputSettings, TrainingSettings

__all__ = ["Config", "load_config"]


class Config:
    """What `load_config` returns.

    Attributes:
      notes: sentences about settings that a later layer made void.
    """

    is_vae = False

    def __init__(self, tree: dict[str, nodes.Node], notes: Sequence[str] = ()):
        self._tree = tree
        self.notes = list(notes)

    def to_dict(self) -> dict:
        """Plain values, with the keys of the reference."""
        return {key: node.plain() for key, node in self._tree.items()}

    def flat(self) -> dict[str, object]:
        """Plain values by dotted key."""
        return _flat(self.to_dict())

    def origin(self, key: str) -> Origin:
        """Where the value at a dotted key came from; the nearest section where it has none."""
        node = nodes.Node(self._tree, Origin("config"))
        for part in key.split("."):
            if not isinstance(node.value, dict) or part not in node.value:
                break
            node = node.value[part]
        return node.origin

    @property
    def code_word(self) -> str | None:
        """The seven letters of the chosen rules."""
        return code_word_of({role: self._tree[f"{role}_type"].value for role in ROLE_LETTERS})

    @property
    def target_name(self) -> str | None:
        """`environment_name`."""
        return self._tree["environment_name"].value if "environment_name" in self._tree else None

    @property
    def seed(self) -> int:
        """`seed`, or `start_seed` where that is null."""
        seed = self._tree["seed"].value
        return self._tree["start_seed"].value if seed is None else seed

    @functools.cached_property
    def training(self) -> TrainingSettings:
        """The section `training`."""
        return TrainingSettings(**self._tree["training"].plain())

    @functools.cached_property
    def distribution(self) -> DistributionSettings:
        """The section `distribution`."""
        return DistributionSettings(**self._tree["distribution"].plain())

    @functools.cached_property
    def outputs(self) -> OutputSettings:
        """The section `outputs`."""
        return OutputSettings(**self._tree["outputs"].plain())

    @property
    def log_interval(self) -> int:
        """Iterations between two rows of metrics."""
        reference = self._tree["gmmvi_runner_config"].value["log_metrics_interval"].value
        return self.training.log_interval or reference

    def to_yaml(self, *, origins: bool = False) -> str:
        """YAML text that loads to the same configuration; `origins` adds where values came from."""
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


def load_config(
    source: str | Path | dict | None,
    *,
    algorithm: str | None = None,
    overrides: Sequence[str | tuple[str, object, Origin]] = (),
    needs_target: bool = True,
    names: Catalog | None = None,
) -> Config:
    """Loads, merges and checks a configuration.

    Args:
      source: path of a YAML file, name of a shipped experiment, dictionary, or None.
      algorithm: code word that replaces the file's choice of rules.
      overrides: `"section.key=value"` strings, applied in order; or (key, value, origin).
      needs_target: False where the target is an object given in code.
      names: rules and targets that exist; the package's own unless given.

    Raises:
      ConfigError: with one line for each problem.
    """
    notes: list[str] = []
    parsed, problems = [], []
    for override in overrides:
        try:
            parsed.append(
                compose.parse_override(override) if isinstance(override, str) else override
            )
        except ConfigError as error:
            problems += error.problems
    tree: dict[str, nodes.Node] = {}
    try:
        tree = compose.compose(source, algorithm=algorithm, overrides=parsed, notes=notes)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    if "model" in tree:
        from gmmvi_ext.config.vae import checked_vae  # late: it builds on this module

        return checked_vae(tree, notes=notes)
    label = "config" if source is None or isinstance(source, dict) else str(source)
    full, problems = check.checked(
        tree, names or catalog(), needs_target=needs_target, source=label
    )
    if problems:
        raise ConfigError(problems)
    return Config(full, notes)


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
