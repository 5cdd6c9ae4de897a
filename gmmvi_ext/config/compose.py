"""Layers of a configuration, lowest first: default algorithm, `defaults:`, the file, `--set`.

Sections merge key by key and the later layer wins. A `XXX_config` belongs to the rule it was
written for: where a later layer picks another rule, the earlier settings of that role are dropped
and a note says so.
"""

from pathlib import Path

from gmmvi_ext.config.codewords import DEFAULT_CODE_WORD, ROLE_LETTERS, expand_code_word
from gmmvi_ext.config.errors import ConfigError, Origin, Problem
from gmmvi_ext.config.nodes import Node, from_plain, parse_yaml, read_yaml
from gmmvi_ext.config.shipped import find_config, shipped_example
from gmmvi_ext.config.vae_catalog import VAE_DEFAULTS

__all__ = ["compose", "parse_override"]

# Key that picks something -> keys of the sections that hold the settings of what was picked.
SECTIONS_OF = {f"{role}_type": (f"{role}_config",) for role in (*ROLE_LETTERS, *VAE_DEFAULTS)} | {
    "environment_name": ("environment_config", "shapes", "constraints")
}
_MAX_INCLUDES = 20


def compose(
    source: str | Path | dict | None,
    *,
    algorithm: str | None = None,
    overrides: list[tuple[str, object, Origin]] = (),
    notes: list[str],
) -> dict[str, Node]:
    """Merged tree of all layers, not yet checked.

    Args:
      source: path, name of a shipped experiment, dictionary, or None for an empty one.
      algorithm: code word that replaces the file's choice of rules.
      overrides: (dotted key, value, origin), applied in order.
      notes: receives a sentence for each setting that was dropped.

    Raises:
      ConfigError: unreadable files, malformed code words and overrides.
    """
    tree = _expanded(DEFAULT_CODE_WORD, Origin("default"))
    if isinstance(source, dict):
        root = from_plain(source, Origin("config"))
        tree = _overlay(tree, _file_layer(root, None, ()), notes)
    elif source is not None:
        path = find_config(str(source))
        tree = _overlay(tree, _file_layer(read_yaml(path), path, (path.resolve(),)), notes)
    if algorithm is not None:
        tree = _overlay(tree, _expanded(algorithm, Origin(f"--algorithm {algorithm}")), notes)
    for key, value, origin in overrides:
        tree = _overlay(tree, _override_layer(key, value, origin), notes)
    if "environment_name" in tree:
        tree["environment_name"] = _anchored(tree["environment_name"], Path.cwd())
    return tree


def parse_override(argument: str) -> tuple[str, object, Origin]:
    """Splits and types one `--set a.b=value`; the value is YAML (`1e-3`, `[1, 2]`, `null`).

    Raises:
      ConfigError: no `=`, an empty key, or a value that is not YAML.
    """
    origin = Origin(f"--set {argument}")
    key, separator, text = argument.partition("=")
    key = key.strip()
    if not separator or not key or not all(key.split(".")):
        raise ConfigError(Problem(origin, "", "expected --set section.key=value."))
    return key, parse_yaml(text, str(origin), with_lines=False), origin


def _override_layer(key: str, value, origin: Origin) -> dict[str, Node]:
    if key == "defaults":
        raise ConfigError(Problem(origin, key, "files to build on belong into the file itself."))
    node = from_plain(value, origin)
    if key == "algorithm":
        return _expanded(node.plain(), origin)
    for part in reversed(key.split(".")):
        node = Node({part: node}, origin)
    return node.value


def _file_layer(root: Node, path: Path | None, chain: tuple[Path, ...]) -> dict[str, Node]:
    """A file with what its `defaults:` and `algorithm:` bring in, below its own keys."""
    if root.value is None:
        return {}
    if not isinstance(root.value, dict):
        raise ConfigError(Problem(root.origin, "", "expected `key: value` lines at the top level."))
    own = dict(root.value)
    layer: dict[str, Node] = {}
    for node in _include_nodes(own.pop("defaults", None)):
        file = find_config(node.value, beside=path.parent if path else None, origin=node.origin)
        resolved = file.resolve()
        if resolved in chain or len(chain) > _MAX_INCLUDES:
            raise ConfigError(Problem(node.origin, "defaults", f"{node.value} includes itself."))
        layer = _overlay(layer, _file_layer(read_yaml(file), file, (*chain, resolved)), [])
    if "algorithm" in own:
        node = own.pop("algorithm")
        layer = _overlay(layer, _expanded(node.value, node.origin), [])
    name = own.get("environment_name")
    if name is not None and path is not None:
        own["environment_name"] = _anchored(name, path.parent)
    if path is not None and "mmd_evaluation_config" in own:
        own["mmd_evaluation_config"] = _anchored_samples(own["mmd_evaluation_config"], path.parent)
    return _overlay(layer, own, [])


def _anchored(name: Node, folder: Path) -> Node:
    """`python:file.py:function` with the file relative to the configuration made absolute.

    `examples/NAME.py` is a shipped example where the configuration has no such file beside it.
    """
    if not isinstance(name.value, str) or not name.value.startswith("python:"):
        return name
    file, separator, function = name.value.removeprefix("python:").rpartition(":")
    if not separator:
        return name
    path = folder / file
    if not _is_file(path):
        path = shipped_example(file) or path
    try:
        return Node(f"python:{path.resolve()}:{function}", name.origin)
    except (OSError, ValueError):  # too long, or with a null byte: said when it is looked for
        return name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a null byte
        return False


def _anchored_samples(section: Node, folder: Path) -> Node:
    """`sample_dir` relative to the configuration made absolute, where there is such a file."""
    entries = section.value if isinstance(section.value, dict) else {}
    node = entries.get("sample_dir")
    if node is None or not isinstance(node.value, str) or not _is_file(folder / node.value):
        return section
    path = Node(str((folder / node.value).resolve()), node.origin)
    return Node({**entries, "sample_dir": path}, section.origin)


def _include_nodes(node: Node | None) -> list[Node]:
    if node is None or node.value is None:
        return []
    items = node.value if isinstance(node.value, list) else [node]
    bad = [item for item in items if not isinstance(item.value, str)]
    if bad:
        raise ConfigError(
            Problem(bad[0].origin, "defaults", "expected a file name or a list of file names.")
        )
    return items


def _expanded(word, origin: Origin) -> dict[str, Node]:
    if not isinstance(word, str):
        message = f"expected a code word such as {DEFAULT_CODE_WORD}, got {word!r}."
        raise ConfigError(Problem(origin, "algorithm", message))
    word = DEFAULT_CODE_WORD if word == "auto" else word
    try:
        types = expand_code_word(word)
    except ValueError as error:
        raise ConfigError(Problem(origin, "algorithm", str(error))) from None
    return {f"{role}_type": Node(name, origin) for role, name in types.items()}


def _overlay(base: dict[str, Node], top: dict[str, Node], notes: list[str]) -> dict[str, Node]:
    base = dict(base)
    for key, sections in SECTIONS_OF.items():
        if key not in top or key not in base:
            continue
        old, new = base[key].value, top[key].value
        if _same_name(old, new):
            continue
        dropped = [base.pop(section).value for section in sections if section in base]
        names = [name for each in dropped if isinstance(each, dict) for name in each]
        if names:
            shown = ", ".join(dict.fromkeys(names))
            notes.append(
                f"{key} is now {new!r}: settings written for {old!r} ({shown}) are dropped."
            )
    return _merged(base, top)


def _merged(base: dict[str, Node], top: dict[str, Node]) -> dict[str, Node]:
    merged = dict(base)
    for key, node in top.items():
        old = merged.get(key)
        if old is not None and isinstance(old.value, dict) and isinstance(node.value, dict):
            node = Node(_merged(old.value, node.value), node.origin)
        merged[key] = node
    return merged


def _same_name(one, other) -> bool:
    return str(one).replace("_", "-").lower() == str(other).replace("_", "-").lower()
