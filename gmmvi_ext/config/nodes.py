"""YAML text to values that remember their file and line.

PyYAML parses, this module resolves: plain scalars follow YAML 1.2, so `1e-3` is a float, `on` and
`no` are strings and `010` is ten; a key that is given twice is an error that names both lines.
Nothing in a file can run code: tags other than the plain YAML ones are refused.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import yaml

from gmmvi_ext.config.errors import ConfigError, Origin, Problem
from gmmvi_ext.confined import read_inside

__all__ = ["Node", "from_plain", "parse_yaml", "read_yaml"]

_INT = re.compile(r"[-+]?[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_OCTAL = re.compile(r"0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq")}
MAX_BYTES = 1_000_000  # of a file
MAX_NODES = 20_000  # stops aliases of aliases from growing without bound
MAX_DEPTH = 100


@dataclasses.dataclass(frozen=True)
class Node:
    """A value with its origin: dict of nodes, list of nodes, or a scalar."""

    value: Any
    origin: Origin

    def plain(self):
        """The value without its origins."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def from_plain(value, origin: Origin) -> Node:
    """Nodes for a Python value, all with the same origin."""
    if isinstance(value, Node):
        return value
    if isinstance(value, dict):
        return Node({str(key): from_plain(item, origin) for key, item in value.items()}, origin)
    if isinstance(value, list | tuple):
        return Node([from_plain(item, origin) for item in value], origin)
    if hasattr(value, "tolist"):
        return from_plain(value.tolist(), origin)
    return Node(value, origin)


def read_yaml(path: str | Path) -> Node:
    """Parses the file `path`.

    Raises:
      ConfigError: the file is missing, unreadable or not YAML; one line each.
    """
    origin = Origin(str(path))
    try:
        content = read_inside(path, None, MAX_BYTES)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(Problem(origin, "", "no such file.")) from None
    except IsADirectoryError:
        raise ConfigError(Problem(origin, "", "is a directory, expected a YAML file.")) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            Problem(origin, "", f"is not UTF-8 text (byte {error.start}); save it as UTF-8.")
        ) from None
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise ConfigError(Problem(origin, "", f"cannot be read: {reason}.")) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str, *, with_lines: bool = True) -> Node:
    """Parses YAML `text`; `source` names it in messages.

    Args:
      text: one YAML document.
      source: file name, or the command-line argument the text came from.
      with_lines: False for one-line sources such as `--set`, whose line says nothing.

    Raises:
      ConfigError: on syntax errors, duplicate keys, foreign tags; all duplicates at once.
    """
    builder = _Builder(source, with_lines)
    try:
        document = yaml.compose(text, Loader=_BoundedLoader)
        root = builder.build(document) if document is not None else Node(None, Origin(source))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        origin = Origin(source, mark.line + 1 if mark and with_lines else None)
        what = " ".join(str(error.problem or error.context).split())
        raise ConfigError(Problem(origin, "", f"not valid YAML: {what}.")) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if with_lines else None
        message = f"not valid YAML: character #x{error.character:04x} is not allowed."
        raise ConfigError(Problem(Origin(source, line), "", message)) from None
    except _TooLarge:
        message = f"more than {MAX_NODES:,} values; no configuration needs as many."
        raise ConfigError(Problem(Origin(source), "", message)) from None
    except RecursionError:
        message = "not valid YAML: nested too deeply."
        raise ConfigError(Problem(Origin(source), "", message)) from None
    if builder.problems:
        raise ConfigError(builder.problems)
    return root


class _TooLarge(Exception):
    """A document of more values than any configuration has."""


class _BoundedLoader(yaml.SafeLoader):
    """Stops at `MAX_NODES`, while the document is read: PyYAML takes seconds for a megabyte."""

    num_nodes = 0

    def compose_node(self, parent, index):
        self.num_nodes += 1
        if self.num_nodes > MAX_NODES:
            raise _TooLarge
        return super().compose_node(parent, index)


class _Builder:
    """Turns PyYAML's node graph into `Node`s and collects what is wrong on the way."""

    def __init__(self, source: str, with_lines: bool):
        self.source = source
        self.with_lines = with_lines
        self.problems: list[Problem] = []
        self.num_nodes = 0

    def origin(self, node: yaml.Node) -> Origin:
        return Origin(self.source, node.start_mark.line + 1 if self.with_lines else None)

    def problem(self, node: yaml.Node, key: str, message: str) -> None:
        self.problems.append(Problem(self.origin(node), key, message))

    def build(self, node: yaml.Node, key: str = "", depth: int = 0) -> Node:
        self.num_nodes += 1
        if self.num_nodes > MAX_NODES or depth > MAX_DEPTH:
            message = "not valid YAML: too large, nested too deeply, or an alias of itself."
            raise ConfigError(Problem(self.origin(node), key, message))
        value: object
        if isinstance(node, yaml.MappingNode):
            value = self.mapping(node, key, depth)
        elif isinstance(node, yaml.SequenceNode):
            self.check_tag(node, key)
            value = [
                self.build(item, f"{key}[{i}]", depth + 1) for i, item in enumerate(node.value)
            ]
        else:
            value = self.scalar(node, key)
        return Node(value, self.origin(node))

    def check_tag(self, node: yaml.Node, key: str) -> bool:
        if node.tag in _PLAIN_TAGS or (isinstance(node, yaml.ScalarNode) and node.tag == "!"):
            return True
        if node.tag.startswith(_TAG) and isinstance(node, yaml.ScalarNode) and node.style is None:
            # YAML 1.1 resolves a few plain scalars to types that 1.2 has not (timestamps, merge,
            # `=`); they are read as plain text here, unless the tag was spelled out.
            explicit = yaml.SafeLoader("").resolve(yaml.ScalarNode, node.value, (True, False))
            if explicit == node.tag:
                return True
        tag = node.tag.replace(_TAG, "!!")
        self.problem(node, key, f"tag {tag} is not supported; write a plain value.")
        return False

    def mapping(self, node: yaml.MappingNode, key: str, depth: int) -> dict[str, Node]:
        self.check_tag(node, key)
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, key, "a key must be plain text.")
                continue
            name = key_node.value
            path = f"{key}.{name}" if key else name
            if name == "<<" and key_node.style is None:
                merged |= self.merge_key(value_node, path, depth)
                continue
            if name in entries:
                where = f", first in line {first_lines[name]}" if self.with_lines else ""
                self.problem(key_node, path, f"key given twice{where}; keep one of them.")
                continue
            first_lines[name] = key_node.start_mark.line + 1
            child = self.build(value_node, path, depth + 1)
            entries[name] = Node(child.value, self.origin(key_node))
        return merged | entries

    def merge_key(self, node: yaml.Node, path: str, depth: int) -> dict[str, Node]:
        value = self.build(node, path, depth + 1).value
        parts = value if isinstance(value, list) else [Node(value, self.origin(node))]
        merged: dict[str, Node] = {}
        for part in parts:
            if not isinstance(part.value, dict):
                self.problem(node, path, "expected a mapping to merge.")
                continue
            merged = part.value | merged
        return merged

    def scalar(self, node: yaml.ScalarNode, key: str):
        if not self.check_tag(node, key):
            return None
        text = node.value
        name = node.tag.removeprefix(_TAG)
        if (node.style is not None and name not in ("int", "float", "bool", "null")) or name == "!":
            return text
        value = _resolve(text)
        # `!!str 1`, `!!float 1`: an explicit tag decides.
        implicit = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
        if node.tag != implicit:
            if name == "str":
                return text
            if name == "float" and isinstance(value, int | float):
                return float(value)
        return value


def _resolve(text: str):
    """Value of a plain scalar by the YAML 1.2 rules."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        if _INT.fullmatch(text):
            return int(text)
        if _HEX.fullmatch(text):
            return int(text, 16)
        if _OCTAL.fullmatch(text):
            return int(text, 8)
    except ValueError:  # more digits than Python converts
        return float(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL_FLOAT.fullmatch(text)
    if special:
        return float("nan") if special.group(3) else float(special.group(1) + "inf")
    return text
