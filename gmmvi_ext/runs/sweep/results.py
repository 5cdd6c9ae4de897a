"""Tables of many runs: one row a run, and medians with intervals over the seeds.

The interval of a median is distribution free. Of n sorted values the pair (x_(r), x_(n+1-r)) holds
the median of the population with probability 1 - 2 P(Binomial(n, 1/2) < r); the largest r that
keeps 95 % is taken, or r = 1 where even the extremes do not reach it (n < 6), and the probability
is written beside the interval.
"""

import csv
import importlib.util
import itertools
import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from gmmvi_ext.config.document import Document
from gmmvi_ext.config.documents import DOCUMENTS
from gmmvi_ext.confined import no_folder
from gmmvi_ext.notebook import html_table
from gmmvi_ext.runs.reading import RunRecord
from gmmvi_ext.whole_files import as_path, whole_file

__all__ = [
    "Table",
    "collect_rows",
    "figures_of",
    "median_interval",
    "paired_differences",
    "read_results",
    "summarize",
    "write_table",
]

# Figures of every run; those of its kind of model stand between them.
_FIRST, _LAST = ("elbo", "elbo_se", "neg_elbo"), ("num_nonfinite", "iterations", "train_seconds")
_ENDINGS = ("stop_reason", "trust", "verdict")
_COVERAGE = 0.95
_LONG = re.compile(r"neg_elbo.*|.*_se(_median|_low|_high)?|verdict|path")  # not for a notebook
_TEXTS = ("trial", "algorithm", "status", "problem", "path", *_ENDINGS[:1], *_ENDINGS[2:])


class Table(list):
    """Rows, each a dict by column; a notebook shows the columns that compare at a glance."""

    def _repr_html_(self) -> str:
        filled = dict.fromkeys(key for row in self for key, each in row.items() if each is not None)
        shown = [key for key in filled if not _LONG.fullmatch(key)]
        cells = [[_shown(row.get(key)) for key in shown] for row in self]
        return html_table([key.replace("_", " ") for key in shown], cells)


def read_results(folder: str | Path) -> Table:
    """One row for each trial of a finished or stopped sweep.

        rows = read_results("sweeps/stepsizes")
        summarize(rows, ["algorithm"])

    Args:
      folder: of the sweep, with its `results.csv`.

    Raises:
      FileNotFoundError: there is no table in it.
    """
    table = as_path(folder, "folder") / "results.csv"
    if not table.is_file():
        why = no_folder(folder) or f"{folder} holds no {table.name}"
        raise FileNotFoundError(f"{why}: give the folder of a sweep.")
    with table.open(newline="", encoding="utf-8") as file:
        return Table(
            {key: _value(key, cell) for key, cell in row.items()} for row in csv.DictReader(file)
        )


def figures_of(document: Document) -> list[str]:
    """Columns of a run that are numbers; medians are taken of these."""
    columns = document.columns.values()
    own = [key for each in columns for key in (each.key, each.error_key) if key]
    return [*_FIRST, *(key for key in own if key not in (*_FIRST, *_LAST)), *_LAST]


def collect_rows(
    records: Mapping[str, RunRecord],
    about: Mapping[str, Mapping[str, object]],
    problems: Mapping[str, str],
) -> Table:
    """One row for each run.

    Args:
      records: what each run left, by name.
      about: leading columns of each row (algorithm, swept keys, seed).
      problems: what went wrong, by name.
    """
    rows = Table()
    for name, record in records.items():
        status = record.status
        problem = problems.get(name)
        if problem is not None and status != "interrupted":
            status = "failed"
        if status == "running":  # nobody is: its process ended without a word
            status = "unfinished"
        is_done = status == "finished"
        row = {"trial": name, **about[name], "status": status}
        for key in (*figures_of(record.document), *_ENDINGS):
            row[key] = record.summary.get(key) if is_done else None
        rows.append(
            row
            | {
                "problem": problem
                or record.run.get("problem")
                or "; ".join(record.troubles)
                or None,
                "path": str(record.path),
            }
        )
    return rows


def summarize(rows: Sequence[Mapping], keys: Sequence[str]) -> Table:
    """Rows with equal `keys` become one: number, medians, intervals of the medians."""
    known = {name for document in DOCUMENTS.values() for name in figures_of(document)}
    figures = [key for key in dict.fromkeys(key for row in rows for key in row) if key in known]
    groups: dict[str, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(json.dumps([row.get(key) for key in keys]), []).append(row)
    table = Table()
    for members in groups.values():
        done = [row for row in members if row["status"] == "finished"]
        line = {key: members[0].get(key) for key in keys}
        line |= {"runs": len(members), "finished": len(done)}
        line["trusted"] = sum(row.get("trust") is True for row in done)
        for name in figures:
            values = [row[name] for row in done if _is_number(row.get(name))]
            median, low, high, coverage = median_interval(values)
            line |= {f"{name}_median": median, f"{name}_low": low, f"{name}_high": high}
            if name == "elbo":
                line["coverage"] = coverage
        table.append(line)
    return table


def paired_differences(
    rows: Sequence[Mapping], key: str, figure: str = "elbo", pair_by: Sequence[str] = ("seed",)
) -> Table:
    """How a figure differs between the values of a key, run by run.

        paired_differences(read_results("sweeps/stepsizes"), "algorithm")

    Runs that agree in `pair_by` are pairs; what the seeds do to both of them alike cancels. The
    interval of the median difference is distribution free, as everywhere here.

    Args:
      rows: of finished and other runs; those without the figure are left out.
      key: column whose values are compared, two at a time.
      figure: column of numbers.
      pair_by: columns that a pair has in common: the seed, and what else was swept.

    Returns:
      for each two values a row with `key` (the first), `minus` (the second), `pairs`, how many of
      them are `higher`, `median`, `low`, `high` and `coverage`.

    Raises:
      ValueError: a column is missing, or several runs of a value have the same `pair_by`.
    """
    for name in (key, figure, *pair_by):
        if not any(name in row for row in rows):
            known = ", ".join(dict.fromkeys(name for row in rows for name in row))
            raise ValueError(f"no run has the column {name!r}; there are {known or 'none'}.")
    runs: dict[str, dict[str, float]] = {}
    for row in rows:
        if not _is_number(row.get(figure)):
            continue
        found = runs.setdefault(str(row.get(key)), {})
        pair = json.dumps([row.get(name) for name in pair_by])
        if pair in found:
            raise ValueError(
                f"two runs with {key} {row.get(key)} have {', '.join(pair_by)} {pair}: name in "
                "`pair_by` what else differs between them."
            )
        found[pair] = row[figure]
    table = Table()
    for one, other in itertools.combinations(runs, 2):
        both = [runs[one][pair] - runs[other][pair] for pair in runs[one] if pair in runs[other]]
        median, low, high, coverage = median_interval(both)
        line = {key: one, "minus": other, "pairs": len(both), "higher": sum(d > 0 for d in both)}
        table.append(line | {"median": median, "low": low, "high": high, "coverage": coverage})
    return table


def median_interval(values: Sequence[float]) -> tuple[float, float, float, float] | tuple:
    """Median, ends of its interval, and the probability that the interval holds it.

    Returns:
      four numbers; four times None without values.
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return None, None, None, None

    def coverage(rank: int) -> float:
        return 1.0 - 2.0 * sum(math.comb(n, k) for k in range(rank)) / 2.0**n

    rank = 1
    while 2 * (rank + 1) <= n and coverage(rank + 1) >= _COVERAGE:
        rank += 1
    return statistics.median(ordered), ordered[rank - 1], ordered[n - rank], coverage(rank)


def write_table(stem: str | Path, rows: Sequence[Mapping]) -> list[Path]:
    """Writes `stem.csv`, and `stem.parquet` where pyarrow is installed; each in one atomic step."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    path = Path(f"{stem}.csv")
    with whole_file(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _cell(row.get(key)) for key in columns})
    if importlib.util.find_spec("pyarrow") is None:
        return [path]
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({key: _column([row.get(key) for row in rows]) for key in columns})
    with whole_file(f"{stem}.parquet") as file:
        pyarrow.parquet.write_table(table, file)
    return [path, Path(f"{stem}.parquet")]


def _value(key: str, cell: str):
    """What `_cell` wrote; names stay texts."""
    if key in _TEXTS:
        return cell or None
    try:
        return json.loads(cell) if cell else None
    except json.JSONDecodeError:
        return cell


def _shown(value) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(_cell(value))


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _cell(value):
    if isinstance(value, list | dict):
        return json.dumps(value)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def _column(values: list) -> list:
    """Values of one type: numbers, truth values, or texts."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return values
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        is_whole = all(isinstance(value, int) for value in known)
        return [value if value is None or is_whole else float(value) for value in values]
    return [
        value if value is None or isinstance(value, str) else json.dumps(value) for value in values
    ]
