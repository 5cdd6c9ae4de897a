"""From a file, a dictionary or nothing, and the command line, to a checked configuration."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from gmmvi_ext.config.auto import MAX_COMPONENTS_KEY, auto_values
from gmmvi_ext.config.catalog import names_for
from gmmvi_ext.config.check import checked
from gmmvi_ext.config.codewords import AUTO
from gmmvi_ext.config.compose import compose, parse_override
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.document import Document, Names
from gmmvi_ext.config.documents import DOCUMENTS, MIXTURE
from gmmvi_ext.config.errors import BASE, DEFAULT, ConfigError, Origin, Problem
from gmmvi_ext.config.nodes import Node
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.registry import did_you_mean

__all__ = ["load_config"]


def load_config(
    source: str | Path | dict | None,
    *,
    algorithm: str | None = None,
    overrides: Sequence[str | tuple[str, object, Origin]] = (),
    base: Mapping[str, object] | None = None,
    base_origin: Origin = BASE,
    needs_target: bool = True,
    within: Path | None = None,
    names: Mapping[str, Names] | None = None,
) -> Config:
    """Loads, merges and checks a configuration.

    Args:
      source: path of a YAML file, name of a shipped experiment, dictionary, or None.
      algorithm: code word that replaces the file's choice of rules.
      overrides: `"section.key=value"` strings, applied in order; or (key, value, origin).
      base: plain values of a layer below all others but the default code word, see `compose`.
      base_origin: where these come from, as messages say it.
      needs_target: False where the target is an object given in code.
      within: folder that the files must not lead out of, but to shipped ones; None for anywhere.
      names: document -> what exists; what is registered unless given.

    Raises:
      ConfigError: with one line for each problem.

    Example:
        >>> from gmmvi_ext.config import load_config
        >>> config = load_config({"environment_name": "funnel"}, overrides=["seed=7"])
        >>> config.seed, config.algorithm_name
        (7, 'SAMTRON')
    """
    require_switches(needs_target=needs_target)
    notes: list[str] = []
    parsed, problems = [], []
    for override in overrides:
        try:
            parsed.append(parse_override(override) if isinstance(override, str) else override)
        except ConfigError as error:
            problems += error.problems
    tree: dict[str, Node] = {}
    try:
        tree = compose(
            source,
            algorithm=algorithm,
            overrides=parsed,
            base=base,
            base_origin=base_origin,
            within=within,
            notes=notes,
        )
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    reload = functools.partial(
        load_config,
        source,
        algorithm=algorithm,
        overrides=overrides,
        needs_target=needs_target,
        within=within,
        names=names,
    )
    if base is None and "model" not in tree and tree["algorithm"].value == AUTO:
        most = Config(MIXTURE, tree).written(MAX_COMPONENTS_KEY)
        return reload(base=auto_values(max_components=most))
    document, problems = _document_of(tree)
    label = "config" if source is None or isinstance(source, dict) else str(source)
    known = names_for(document) if names is None else names[document.name]
    full, found = checked(document, tree, known, needs_subject=needs_target, source=label)
    if problems or found:
        raise ConfigError([*problems, *found])
    return Config(document, full, notes, reload=reload)


def _document_of(tree: dict[str, Node]) -> tuple[Document, list[Problem]]:
    """The kind of a merged tree; takes what the code word brought out of it where none is meant."""
    model = tree.get("model", Node(MIXTURE.name, DEFAULT))
    document = DOCUMENTS.get(model.value) if isinstance(model.value, str) else None
    if document is None:
        message = f"unknown model {model.value!r}; choose one of {', '.join(DOCUMENTS)}."
        hint = did_you_mean(model.value, DOCUMENTS)
        raise ConfigError(Problem(model.origin, "model", message + hint))
    word = tree.pop("algorithm")
    if document.letters:
        if word.value == AUTO:
            tree["algorithm"] = word
        return document, []
    for role in MIXTURE.letters:  # what the lowest layer says has no meaning here
        if tree[f"{role}_type"].origin in (word.origin, DEFAULT):
            del tree[f"{role}_type"]
    if word.origin == DEFAULT:
        return document, []
    message = f"code words choose the rules of a mixture; `model: {document.name}` has none."
    return document, [Problem(word.origin, "algorithm", message)]
