"""Layers of a configuration, lowest first: default algorithm, `base`, `defaults:`, the file,
`--algorithm`, `--set`.

Sections merge key by key and the later layer wins. A `XXX_config` belongs to the rule it was
written for: where a later layer picks another rule, the earlier settings of that role are dropped
and a note says so. A section that is written as one word is its `mode`. Former keys are read under
their names of today, with a note.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gmmvi_ext.config.codewords import AUTO, DEFAULT_CODE_WORD, ROLE_LETTERS, expand_code_word
from gmmvi_ext.config.documents import DOCUMENTS
from gmmvi_ext.config.errors import BASE, DEFAULT, ConfigError, Origin, Problem
from gmmvi_ext.config.nodes import Node, from_plain, parse_yaml, read_yaml
from gmmvi_ext.config.shipped import find_config, shipped_example, shipped_folder
from gmmvi_ext.confined import is_file, is_inside
from gmmvi_ext.registry import normalized_name
from gmmvi_ext.user_code import PREFIX, is_code

__all__ = ["FORMER_KEYS", "compose", "parse_override"]

# Former keys, dotted -> the keys of today, under the same section; read with a note for a version.
FORMER_KEYS = {"distribution": "parallel", "num_latents": "latent_dim"}

_ROLES = [role for document in DOCUMENTS.values() for role in document.roles]
_MODE_SECTIONS = {
    name
    for document in DOCUMENTS.values()
    for name, spec in document.section_specs.items()
    if spec.has_mode
}
_MAX_INCLUDES = 20


def compose(
    source: str | Path | dict | None,
    *,
    algorithm: str | None = None,
    overrides: Sequence[tuple[str, object, Origin]] = (),
    base: Mapping[str, object] | None = None,
    base_origin: Origin = BASE,
    within: Path | None = None,
    notes: list[str],
) -> dict[str, Node]:
    """Merged tree of all layers, not yet checked.

    Args:
      source: path, name of a shipped experiment, dictionary, or None for an empty one.
      algorithm: code word that replaces the file's choice of rules.
      overrides: (dotted key, value, origin), applied in order.
      base: plain values of a layer below all files, above the default code word. What it says of
        a rule holds while that rule is chosen; `algorithm: auto` chooses its rules.
      base_origin: where these come from, as messages say it.
      within: folder that the files must not lead out of, but to shipped ones; None for anywhere.
      notes: receives a sentence for each setting that was dropped and each former key.

    Raises:
      ConfigError: unreadable files, malformed code words and overrides.
    """
    ground = _expanded(DEFAULT_CODE_WORD, DEFAULT)
    lowest = from_plain(dict(base or {}), base_origin).value
    ground = _overlay(ground, _as_sections(lowest), [])
    layers = []
    if isinstance(source, dict):
        root = from_plain(source, Origin("config"))
        layers.append(_FileLayers(ground, notes).layer(root, None))
    elif source is not None:
        path = find_config(str(source))
        _refuse_outside(path, within, Origin(str(source)), "")
        layers.append(_FileLayers(ground, notes, within).layer(read_yaml(path), path))
    if algorithm is not None:
        layers.append(_expanded(algorithm, Origin(f"--algorithm {algorithm}"), ground))
    layers += [_override_layer(*override, ground, notes) for override in overrides]
    tree = dict(ground)
    for layer in layers:
        tree = _overlay(tree, layer, notes, quiet=base_origin)
    tree = _anchored_code(tree, Path.cwd())
    return _with_base(tree, lowest)


def _with_base(tree: dict[str, Node], base: dict[str, Node]) -> dict[str, Node]:
    """Settings of `base` for rules that were given up and chosen again are there again."""
    tree = dict(tree)
    for role in _ROLES:
        chosen, meant, settings = tree.get(role.type_key), base.get(role.type_key), role.config_key
        is_meant = (
            chosen is not None and meant is not None and _same_name(chosen.value, meant.value)
        )
        if settings in base and is_meant:
            tree = _merged({settings: base[settings]}, tree)
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


def _override_layer(
    key: str, value, origin: Origin, ground: dict, notes: list[str]
) -> dict[str, Node]:
    if key == "defaults":
        raise ConfigError(Problem(origin, key, "files to build on belong into the file itself."))
    node = from_plain(value, origin)
    if key == "algorithm":
        return _expanded(node.plain(), origin, ground)
    for part in reversed(key.split(".")):
        node = Node({part: node}, origin)
    return _as_sections(_renamed(node.value, notes))


def _renamed(layer: dict[str, Node], notes: list[str], section: str = "") -> dict[str, Node]:
    """The layer with former keys under their names of today, and a note for each.

    Raises:
      ConfigError: a key is there under both names.
    """
    renamed: dict[str, Node] = {}
    for key, node in layer.items():
        former = f"{section}{key}"
        today = FORMER_KEYS.get(former, former)
        if today != former:
            name = today.removeprefix(section)
            if name in layer:
                message = f"is the former name of {today}, which is given, too; leave it out."
                raise ConfigError(Problem(node.origin, former, message))
            note = f"{former} is now called {today} ({node.origin})."
            notes += [] if note in notes else [note]
            key = name
        if isinstance(node.value, dict):
            node = Node(_renamed(node.value, notes, f"{today}."), node.origin)
        renamed[key] = node
    return renamed


def _as_sections(layer: dict[str, Node]) -> dict[str, Node]:
    """The layer with `start: auto` written out as `start: {mode: auto}`."""
    return {
        key: Node({"mode": _mode(node)}, node.origin)
        if key in _MODE_SECTIONS and not isinstance(node.value, dict | None)
        else node
        for key, node in layer.items()
    }


def _mode(node: Node) -> Node:
    """A mode as it is written; YAML reads `off` and `on` as false and true."""
    word = {False: "off", True: AUTO}.get(node.value) if isinstance(node.value, bool) else None
    return node if word is None else Node(word, node.origin)


class _FileLayers:
    """Files with what their `defaults:` and `algorithm:` bring in, below their own keys.

    A file that several others include is read once: names of names could double on each level.
    """

    def __init__(self, ground: dict[str, Node], notes: list[str], within: Path | None = None):
        self._ground, self._notes, self._within = ground, notes, within
        self._done: dict[Path, dict[str, Node]] = {}

    def layer(self, root: Node, path: Path | None, chain: tuple[Path, ...] = ()) -> dict[str, Node]:
        """The layer of a parsed file."""
        if root.value is None:
            return {}
        if not isinstance(root.value, dict):
            message = "expected `key: value` lines at the top level."
            raise ConfigError(Problem(root.origin, "", message))
        if path is not None:
            chain = (*chain, path.resolve())
        own = _as_sections(_renamed(root.value, self._notes))
        layer: dict[str, Node] = {}
        for node in _include_nodes(own.pop("defaults", None)):
            layer = _overlay(layer, self._included(node, path, chain), [])
        if "algorithm" in own:
            node = own.pop("algorithm")
            layer = _overlay(layer, _expanded(node.value, node.origin, self._ground), [])
        if path is not None:
            own = _anchored_code(own, path.parent)
        if path is not None and "mmd_evaluation_config" in own:
            samples = _anchored_samples(own["mmd_evaluation_config"], path.parent)
            own["mmd_evaluation_config"] = samples
        return _overlay(layer, own, [])

    def _included(self, node: Node, path: Path | None, chain: tuple[Path, ...]) -> dict[str, Node]:
        beside = path.parent if path else None
        file = find_config(node.value, beside=beside, origin=node.origin)
        _refuse_outside(file, self._within, node.origin, "defaults")
        resolved = file.resolve()
        if resolved in chain or len(chain) > _MAX_INCLUDES:
            raise ConfigError(Problem(node.origin, "defaults", f"{node.value} includes itself."))
        if resolved not in self._done:
            self._done[resolved] = self.layer(read_yaml(file), file, chain)
        return self._done[resolved]


def _refuse_outside(path: Path, within: Path | None, origin: Origin, key: str) -> None:
    """A file of a folder that is not trusted names files of that folder and shipped ones only."""
    if within is None or is_inside(path, within) or is_inside(path, shipped_folder()):
        return
    message = (
        f"{path} lies outside of {within}, whose files are not trusted to name others; copy it "
        "there, or give --allow_outside if you trust them."
    )
    raise ConfigError(Problem(origin, key, message))


def _anchored_code(layer: dict[str, Node], folder: Path) -> dict[str, Node]:
    """The layer with the files of the user's own code made absolute."""
    keys = [role.type_key for role in _ROLES if role.type_key in layer]
    return layer | {key: _anchored(layer[key], folder) for key in keys}


def _anchored(name: Node, folder: Path) -> Node:
    """`python:file.py:function` with the file relative to the configuration made absolute.

    `examples/NAME.py` is a shipped example where the configuration has no such file beside it.
    """
    if not is_code(name.value):
        return name
    file, separator, function = name.value.removeprefix(PREFIX).rpartition(":")
    if not separator:
        return name
    path = folder / file
    if not is_file(path):
        path = shipped_example(file) or path
    try:
        return Node(f"{PREFIX}{path.resolve()}:{function}", name.origin)
    except (OSError, ValueError):  # too long, or with a null byte: said when it is looked for
        return name


def _anchored_samples(section: Node, folder: Path) -> Node:
    """`sample_dir` relative to the configuration made absolute, where there is such a file."""
    entries = section.value if isinstance(section.value, dict) else {}
    node = entries.get("sample_dir")
    if node is None or not isinstance(node.value, str) or not is_file(folder / node.value):
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


def _expanded(word, origin: Origin, ground: Mapping[str, Node] = {}) -> dict[str, Node]:
    """The rules that a code word names, and the word; `auto` means the rules of `ground`."""
    if not isinstance(word, str):
        message = f"expected a code word such as {DEFAULT_CODE_WORD}, got {word!r}."
        raise ConfigError(Problem(origin, "algorithm", message))
    if word == AUTO:
        types = {key: ground[key] for key in (f"{role}_type" for role in ROLE_LETTERS)}
        return {"algorithm": Node(word, origin), **types}
    try:
        names = expand_code_word(word)
    except ValueError as error:
        raise ConfigError(Problem(origin, "algorithm", str(error))) from None
    rules = {f"{role}_type": Node(name, origin) for role, name in names.items()}
    return {"algorithm": Node(word, origin), **rules}


def _overlay(
    base: dict[str, Node], top: dict[str, Node], notes: list[str], quiet: Origin | None = None
) -> dict[str, Node]:
    """`top` over `base`; a note for each setting that is dropped, except those from `quiet`."""
    base = dict(base)
    for role in _ROLES:
        key = role.type_key
        if key not in top or key not in base:
            continue
        old, new = base[key].value, top[key].value
        if _same_name(old, new):
            continue
        sections = (role.config_key, *role.dropped_with)
        dropped = [base.pop(section) for section in sections if section in base]
        written = [
            name
            for node in dropped
            for name, item in (node.value.items() if isinstance(node.value, dict) else ())
            if item.origin != quiet
        ]
        if written:
            shown = ", ".join(dict.fromkeys(written))
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
    return normalized_name(one) == normalized_name(other)
