"""Folders of runs: many runs as one sweep, what runs left behind, and how they compare."""

from gmmvi_ext.lazy import former_names
from gmmvi_ext.runs.reading import RunRecord, read_run
from gmmvi_ext.runs.sweep.grid import Trial, expand_grid, parse_grid, parse_seeds
from gmmvi_ext.runs.sweep.job import Job, Outcome, run_job
from gmmvi_ext.runs.sweep.launchers import LAUNCHERS, LauncherError, launch
from gmmvi_ext.runs.sweep.results import (
    Table,
    collect_rows,
    median_interval,
    paired_differences,
    read_results,
    summarize,
    write_table,
)

__all__ = [
    "LAUNCHERS",
    "Job",
    "LauncherError",
    "Outcome",
    "RunRecord",
    "Table",
    "Trial",
    "collect_rows",
    "expand_grid",
    "launch",
    "median_interval",
    "paired_differences",
    "parse_grid",
    "parse_seeds",
    "read_results",
    "read_run",
    "run_job",
    "summarize",
    "write_table",
]

__getattr__ = former_names(__name__, {"summarise": "summarize"})
