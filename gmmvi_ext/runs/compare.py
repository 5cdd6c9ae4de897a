"""Runs side by side: names, what tells them apart, a table of figures, and pictures."""

import json
from collections.abc import Sequence
from pathlib import Path

from gmmvi_ext.config.document import Column
from gmmvi_ext.confined import is_file, is_folder, is_inside, no_folder, printable
from gmmvi_ext.runs.reading import RunRecord, read_run, trials_folder

__all__ = [
    "differing_keys",
    "find_runs",
    "group_labels",
    "run_names",
    "short_headings",
    "table_rows",
]

# Keys that do not change what is fitted, and those that the column `seed` shows.
_QUIET = ("outputs", "gmmvi_runner_config", "training.log_interval", "dump_gmm_path")
_SEEDS = ("seed", "start_seed")
_ABSENT = "-"


def find_runs(folders: Sequence[str | Path], *, allow_outside: bool = False) -> list[RunRecord]:
    """Runs in the given folders; of a sweep, its trials; of any other folder, the runs inside.

    Args:
      folders: paths.
      allow_outside: follow links out of them.

    Raises:
      FileNotFoundError: a folder does not exist or holds no run.
    """
    found: dict[Path, RunRecord] = {}
    for folder in map(Path, folders):
        if not is_folder(folder):
            raise FileNotFoundError(f"{no_folder(folder)}.")
        if is_file(folder / "config.yml"):
            paths = [folder]
        else:
            trials = trials_folder(folder)
            inside = trials if trials.is_dir() else folder
            paths = sorted(
                path.parent
                for path in inside.glob("*/config.yml")
                if allow_outside or is_inside(path.parent, folder)
            )
        if not paths:
            raise FileNotFoundError(
                f"{folder}: holds no run (no config.yml, and no folder that has one)."
            )
        for path in paths:
            found.setdefault(path.resolve(), read_run(path, allow_outside=allow_outside))
    return list(found.values())


def run_names(records: Sequence[RunRecord]) -> list[str]:
    """Names of the folders, with as much of the path as it takes to tell them apart."""
    paths = [record.path.resolve().parts for record in records]
    for length in range(1, max(map(len, paths), default=1) + 1):
        names = [printable("/".join(parts[-length:])).replace("\n", " ") for parts in paths]
        if len(set(names)) == len(names):
            break
    return [name if name.strip() else repr(name) for name in names]  # a blank would not be seen


def differing_keys(records: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Keys whose values differ between the runs, with the value of each run; seeds left out.

    The seven rules appear as one code word; settings of rules that differ are not listed again.
    """
    flats = [_telling(record) for record in records]
    keys = list(dict.fromkeys(key for flat in flats for key in flat))
    table = {}
    types = {key for key in keys if key.endswith("_type") and len(_values(flats, key)) > 1}
    changed = {f"{key.removesuffix('_type')}_config" for key in types}
    for key in keys:
        values = [json.dumps(flat[key]) if key in flat else _ABSENT for flat in flats]
        is_rule = key in types or key.partition(".")[0] in changed
        if len(set(values)) > 1 and not is_rule:
            table[key] = [value.strip('"') for value in values]
    return table


def group_labels(records: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    """A label for each run, equal for runs that differ in their seeds alone."""
    table = {key: values for key, values in differing_keys(records).items() if key != "target"}
    if not table:
        return list(names)
    labels = []
    for number in range(len(records)):
        parts = [
            values[number] if key == "algorithm" else f"{key.rpartition('.')[2]}={values[number]}"
            for key, values in table.items()
        ]
        labels.append(", ".join(parts))
    return labels


def table_rows(records: Sequence[RunRecord], names: Sequence[str]) -> list[dict[str, str]]:
    """What the table of the report shows, as text; the target only where there are several.

    The columns are those of all kinds of models among the runs; where a run has no such figure
    stands `-`.
    """
    headings = _columns(records)
    rows = []
    for record, name in zip(records, names, strict=True):
        row = {
            "run": name,
            "target": str(target_of(record)),
            "algorithm": str(record.run.get("algorithm") or _ABSENT),
            "seed": str(record.run.get("seed", _ABSENT)),
            "verdict": str(record.summary.get("verdict", _ABSENT)).split(":")[0],
        }
        figures = record.summary or (record.metrics or [{}])[-1]
        own = record.document.columns
        row |= {key: _figure(figures, own[key]) if key in own else _ABSENT for key in headings}
        row["end"] = f"{record.status}: {record.run.get('stop_reason') or 'not ended'}"
        rows.append({key: " ".join(value.split()) for key, value in row.items()})
    if len({row["target"] for row in rows}) == 1:
        for row in rows:
            del row["target"]
    if not any(record.document.has_verdict for record in records):
        for row in rows:
            del row["verdict"]
    return rows


def short_headings(records: Sequence[RunRecord]) -> list[str]:
    """Columns of the table that fit on a terminal."""
    columns = [key for key, column in _columns(records).items() if column.is_short]
    return ["run", "target", "algorithm", "seed", *columns, "verdict"]


def _columns(records: Sequence[RunRecord]) -> dict[str, Column]:
    """Columns of all kinds of models: each kind's own after the one that they share."""
    merged: list[tuple[str, Column]] = []
    for document in {record.document.name: record.document for record in records}.values():
        place = 0
        for item in document.columns.items():
            if item not in merged:
                merged.insert(place, item)
            place = merged.index(item) + 1
    return dict(merged)


def _figure(figures: dict, column: Column) -> str:
    value, error = figures.get(column.key), figures.get(column.error_key)
    if not isinstance(value, int | float):
        return _ABSENT
    text = format(value, column.form)
    return text + (f" +- {error:{column.form}}" if isinstance(error, int | float) else "")


def target_of(record: RunRecord) -> str:
    """Name of what was fitted; settings of the target are part of it."""
    if record.config is None:
        return "unknown"
    role = record.document.role(record.document.subject)
    written = record.config.values.get(role.config_key) or {}
    is_written = not role.fills_defaults  # else it holds everything
    settings = {k: v for k, v in written.items() if v is not None and is_written}
    shown = ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
    name = str(record.config.target_name or "unknown")
    if name.startswith("python:"):
        file, _, function = name.removeprefix("python:").rpartition(":")
        name = f"{Path(file).name}:{function}"
    return printable(f"{name} ({shown})" if shown else name)


def _telling(record: RunRecord) -> dict[str, object]:
    if record.config is None:
        return {}
    flat = {
        key: value
        for key, value in record.config.flat().items()
        if key not in _SEEDS
        and not key.startswith("environment_")
        and not any(key == name or key.startswith(f"{name}.") for name in _QUIET)
    }
    word = record.config.algorithm_name
    return {"target": target_of(record), "algorithm": word, **flat}


def _values(flats, key: str) -> set[str]:
    return {json.dumps(flat.get(key)) for flat in flats}
