"""The trials of a sweep: algorithms x values of keys x seeds, each a checked configuration."""

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence

from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import ConfigError, Origin, Problem
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.config.nodes import parse_yaml

__all__ = ["Trial", "expand_grid", "parse_grid", "parse_seeds"]

MAX_TRIALS = 10_000
_MAX_NAME = 180


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
      name: folder of the run, made of what tells it from the others.
      algorithm: code word of its rules, or "custom rules".
      values: swept keys and their values.
      seed: its seed.
      config: its whole configuration.
    """

    name: str
    algorithm: str
    values: dict[str, object]
    seed: int
    config: Config


def parse_grid(arguments: Sequence[str]) -> dict[str, list]:
    """Values by key from `a.b=1,2,3` texts; lists are written `a.b=[1,2],[3,4]`.

    Raises:
      ConfigError: no `=`, no value, a key or a value given twice, or text that is not YAML.
    """
    grid: dict[str, list] = {}
    problems = []
    for argument in arguments:
        origin = Origin(f"--grid {argument}")
        key, separator, text = argument.partition("=")
        key = key.strip()
        if not separator or not key or not all(key.split(".")) or not text.strip():
            problems.append(Problem(origin, key, "expected --grid section.key=value,value,..."))
            continue
        try:
            values = parse_yaml(f"[{text}]", str(origin), with_lines=False).plain()
        except ConfigError as error:
            problems += error.problems
            continue
        shown = [json.dumps(value) for value in values]
        if key in grid:
            problems.append(Problem(origin, key, "key given twice; list its values in one --grid."))
        elif len(set(shown)) < len(shown):
            problems.append(Problem(origin, key, "the same value is given twice."))
        elif key == "defaults":
            problems.append(Problem(origin, key, "files to build on cannot be swept."))
        else:
            grid[key] = values
    if problems:
        raise ConfigError(problems)
    return grid


def parse_seeds(text: str | None, first: int) -> list[int]:
    """Seeds from a count (`5`: `first` and the four after it) or a list (`0,7,11`).

    Raises:
      ConfigError: neither, or a seed twice.
    """
    if text is None:
        return [first]
    parts = [part.strip() for part in text.split(",")]
    is_valid = all(p.isdecimal() and len(p) <= 10 and int(p) < 2**31 for p in parts)
    seeds = [int(part) for part in parts] if is_valid else []
    if is_valid and len(seeds) == 1 and "," not in text:
        if seeds[0] > MAX_TRIALS:
            raise _too_many(seeds[0])
        seeds = list(range(first, first + seeds[0]))
    if not seeds or len(set(seeds)) < len(seeds):
        message = "expected a positive count, or different seeds separated by commas."
        raise ConfigError(Problem(Origin(f"--seeds {text}"), "seed", message))
    return seeds


def expand_grid(
    source: str,
    *,
    algorithms: Sequence[str] = (),
    grid: Mapping[str, Sequence] = {},
    seeds: str | None = None,
    overrides: Sequence[str | tuple[str, object, Origin]] = (),
) -> list[Trial]:
    """All trials, algorithms slowest and seeds fastest, each checked.

    Args:
      source: YAML file or name of a shipped experiment.
      algorithms: code words; empty for the file's own choice.
      grid: values by dotted key.
      seeds: as `parse_seeds` takes them.
      overrides: applied to every trial, before its grid values.

    Raises:
      ConfigError: the problems of all trials, each once.
    """
    grid = dict(grid)
    words = list(algorithms or grid.pop("algorithm", ()) or [None])
    base = load_config(source, overrides=overrides)
    numbers = [None] if "seed" in grid and seeds is None else parse_seeds(seeds, base.seed)
    count = math.prod(map(len, (words, numbers, *grid.values())))
    if count > MAX_TRIALS:
        raise _too_many(count)
    trials, problems = [], []
    for word, values, seed in itertools.product(words, _combinations(grid), numbers):
        layers = [*overrides]
        if word is not None:
            layers.append(("algorithm", word, Origin(f"--algorithms {word}")))
        layers += [(key, value, _origin(key, value)) for key, value in values.items()]
        if seed is not None:
            layers.append(("seed", seed, Origin(f"--seeds {seeds}")))
        try:
            config = load_config(source, overrides=layers)
        except ConfigError as error:
            problems += error.problems
            continue
        algorithm = config.algorithm_name
        name = _name(algorithm, values, config.seed)
        trials.append(Trial(name, algorithm, values, config.seed, config))
    if problems:
        raise ConfigError(problems)
    _refuse_doubles(trials)
    return trials


def _combinations(grid: Mapping[str, Sequence]) -> list[dict]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _origin(key: str, value) -> Origin:
    return Origin(f"--grid {key}={json.dumps(value)}")


def _name(algorithm: str, values: Mapping[str, object], seed: int) -> str:
    """Readable where it can be: the last part of a key, unless two keys share it."""
    ends = [key.rpartition(".")[2] for key in values]
    parts = [algorithm.replace(" ", "-")]
    for (key, value), end in zip(values.items(), ends, strict=True):
        if key != "seed":
            shown = value if isinstance(value, str) else json.dumps(value)
            parts.append(f"{end if ends.count(end) == 1 else key}={shown}")
    parts.append(f"seed={seed}")
    name = "_".join(re.sub(r"[^\w.=+-]+", "-", part).strip("-") for part in parts)
    if len(name) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(json.dumps([algorithm, values, seed]).encode()).hexdigest()[:12]
    return f"{name[: _MAX_NAME - 13]}-{digest}"


def _refuse_doubles(trials: Sequence[Trial]) -> None:
    seen: dict[str, str] = {}
    for trial in trials:
        # Names differ for values that mean the same: 1 and 1.0.
        for identity in (trial.name, json.dumps(trial.config.flat(), sort_keys=True)):
            if identity in seen:
                message = (
                    f"two trials are the same ({seen[identity]} and {trial.name}); a value, a seed "
                    "or an algorithm is given twice."
                )
                raise ConfigError(Problem(Origin("sweep"), "", message))
            seen[identity] = trial.name


def _too_many(count: int) -> ConfigError:
    message = f"{count:,} trials are too many for one sweep, {MAX_TRIALS:,} at most; make several."
    return ConfigError(Problem(Origin("sweep"), "", message))
