"""`gmmvi-ext config check|resolve|describe`: all of it without TensorFlow."""

import sys
from collections.abc import Sequence

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.config.catalog import names_for
from gmmvi_ext.config.describe import describe
from gmmvi_ext.config.documents import DOCUMENTS
from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.config.python_target import check_layout
from gmmvi_ext.registry import did_you_mean
from gmmvi_ext.runs.errors import UsageError
from gmmvi_ext.tensorflow_import import quiet_start
from gmmvi_ext.user_code import missing_in_file

__all__ = ["main"]

_ACTIONS = {
    "check": "gmmvi-ext config check FILE...",
    "resolve": "gmmvi-ext config resolve FILE [--set key=value]... [--algorithm CODE]",
    "describe": "gmmvi-ext config describe [NAME]",
}


def main(arguments: Sequence[str]) -> int:
    """Runs one action."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage:", *(f"  {usage}" for usage in _ACTIONS.values()), sep="\n")
        return 0
    action, *rest = arguments
    if action not in _ACTIONS:
        raise UsageError(
            f"unknown action {action!r}; there are: {', '.join(_ACTIONS)}."
            f"{did_you_mean(action, _ACTIONS)}"
        )
    return {"check": _check, "resolve": _resolve, "describe": _describe}[action](rest)


def _check(arguments: Sequence[str]) -> int:
    flags = CommandFlags(_ACTIONS["check"], "Prints what is wrong, one line a problem.")
    parsed = flags.parse(arguments)
    if parsed is None:
        return 0
    files = parsed[1]
    if not files:
        raise UsageError(f"no file given; usage: {_ACTIONS['check']}.")
    num_bad = 0
    for file in files:
        try:
            config = load_config(file)
        except ConfigError as error:
            num_bad += 1
            print(error, file=sys.stderr)
            continue
        named = config.code_names()
        problems = [
            f"{file}: {key}: {why}"
            for key, name in named.items()
            if (why := missing_in_file(name)) is not None
        ]
        try:
            with quiet_start():
                check_layout(config)
        except ConfigError as error:
            problems.append(str(error))
        if problems:
            num_bad += 1
            print(*problems, sep="\n", file=sys.stderr)
            continue
        print(f"{file}: fine ({config.algorithm_name} on {config.target_name})")
        for key, name in named.items():
            print(f"{file}: note: {key}: {name} is not run by a check, but before a run starts")
    return 2 if num_bad else 0


def _resolve(arguments: Sequence[str]) -> int:
    flags = CommandFlags(
        _ACTIONS["resolve"], "Prints the complete configuration and where each value came from."
    )
    flags.strings("set", "override of one value; may be repeated", "KEY=VALUE")
    flags.string("algorithm", "code word, SAMTRON for example", "CODE")
    parsed = flags.parse(arguments)
    if parsed is None:
        return 0
    values, files = parsed
    if len(files) != 1:
        raise UsageError(f"expected one file, got {len(files)}; usage: {_ACTIONS['resolve']}.")
    config = load_config(files[0], algorithm=values["algorithm"], overrides=values["set"])
    for note in config.notes:
        print(f"note: {note}", file=sys.stderr)
    if (
        config.is_auto
        and config.written("sample_selector_config.desired_samples_per_component") is None
    ):
        print(
            "note: algorithm: auto chooses the estimator and the samples of a component once the "
            "target is known; the work directory's config.yml has them.",
            file=sys.stderr,
        )
    sys.stdout.write(config.to_yaml(origins=True))
    return 0


def _describe(arguments: Sequence[str]) -> int:
    flags = CommandFlags(
        _ACTIONS["describe"],
        "Explains a rule, target, section or code word: keys, types, ranges, defaults, meanings. "
        "Without a name it lists what there is.",
    )
    parsed = flags.parse(arguments)
    if parsed is None:
        return 0
    if len(parsed[1]) > 1:
        raise UsageError(f"expected one name, got {len(parsed[1])}.")
    try:
        names = {name: names_for(document) for name, document in DOCUMENTS.items()}
        print(describe(parsed[1][0] if parsed[1] else None, names))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return 0
