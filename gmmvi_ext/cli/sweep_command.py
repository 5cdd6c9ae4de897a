"""`gmmvi-ext sweep`: one configuration, many values and seeds, every trial a run of its own."""

import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.config.compose import parse_override
from gmmvi_ext.config.errors import Origin
from gmmvi_ext.runs.errors import CommandError, MissingConfig, UsageError, disk_trouble
from gmmvi_ext.runs.reading import read_run, trials_folder
from gmmvi_ext.runs.sweep import results
from gmmvi_ext.runs.sweep.grid import Trial, expand_grid, parse_grid
from gmmvi_ext.runs.sweep.job import Job, Outcome
from gmmvi_ext.runs.sweep.launchers import LAUNCHERS, LauncherError, check_launcher, launch
from gmmvi_ext.runs.workdir import claim_folder, fresh_folder
from gmmvi_ext.training.interrupt import InterruptFlag
from gmmvi_ext.training.writers import write_json
from gmmvi_ext.whole_files import write_whole

__all__ = ["main"]

INTERRUPTED = 130
MAX_WORKERS = 1024
# Trials leave figures, not files for people, unless --set says otherwise.
_LEAN = (("outputs.export", False), ("outputs.plots", False))


def main(arguments: Sequence[str]) -> int:
    """Runs what has not been run; returns 0 if every trial has a result, 1 if one failed."""
    parsed = _flags().parse(arguments)
    if parsed is None:
        return 0
    values, positional = parsed
    if positional:
        raise UsageError(f"unexpected argument {positional[0]!r}; flags start with --.")
    trials = _trials(values)
    folder = Path(values["workdir"] or fresh_folder("sweeps", values["config"]))
    if trials_folder(folder).name == "cells":  # begun by an older version
        trials = [
            dataclasses.replace(trial, name=trial.name.replace("custom-rules", "own-rules", 1))
            for trial in trials
        ]
    _check_launcher(values)
    inside = (trials_folder(folder).name, "configs", "logs")
    allow_outside = values["allow_outside"]
    with claim_folder(folder, inside, by="sweep", allow_outside=allow_outside):
        try:
            return _sweep(folder, trials, values)
        except OSError as error:
            raise CommandError(
                f"--workdir {folder}: {disk_trouble(error)}; the trials that have ended are kept. "
                "Make room or access and give the same command again."
            ) from error


def _flags() -> CommandFlags:
    flags = CommandFlags(
        "gmmvi-ext sweep --config FILE --grid section.key=1,2,3 --seeds 5 [--workers N]",
        "Runs a configuration for all combinations of algorithms, values and seeds, each in a "
        "process and a folder of its own. The same command again runs what is missing or failed. "
        "Leaves results.csv (one row a run), summary.csv (medians and intervals over the seeds; "
        "both also as Parquet where pyarrow is installed) and summary.md.",
    )
    flags.string("config", "YAML file, or the name of a shipped experiment", "FILE")
    flags.strings("grid", "values of one key, lists as [1,2],[3,4]; repeatable", "KEY=V,V,...")
    flags.string("algorithms", "code words, separated by commas", "CODE,CODE")
    flags.string("seeds", "how many seeds, or a list: 0,7,11", "N|S,S,...")
    flags.strings("set", "override of one value in every trial; repeatable", "KEY=VALUE")
    flags.integer("workers", "trials at a time (default 1)")
    flags.integer("threads", "TensorFlow threads of a trial (default: cores / workers)")
    flags.string("workdir", "folder of the sweep (default sweeps/NAME-TIME)", "DIR")
    flags.string("launcher", f"{', '.join(LAUNCHERS)} (default local)", "WHERE")
    flags.string("address", "Dask scheduler; without one a cluster is started here", "HOST:PORT")
    flags.strings("slurm", "setting for submitit, slurm_partition=long; repeatable", "KEY=VALUE")
    flags.string("device", "device of every trial: cpu, gpu, gpu:1 or auto", "DEVICE")
    flags.integer("trial_seconds", "kill a trial after so many seconds")
    flags.boolean("allow_outside", "let the work directory reach beyond itself: links and files")
    flags.boolean("allow_network", "take a Dask scheduler beyond this machine")
    flags.former("cell_seconds", "trial_seconds")
    return flags


def _check_launcher(values: dict) -> None:
    try:
        check_launcher(
            values["launcher"] or "local",
            address=values["address"],
            options=_options(values["slurm"]),
            allow_network=values["allow_network"],
        )
    except LauncherError as error:
        raise UsageError(str(error)) from None


def _trials(values: dict) -> list[Trial]:
    if values["config"] is None:
        raise MissingConfig
    for name in ("workers", "threads"):
        if values[name] is not None and not 1 <= values[name] <= MAX_WORKERS:
            text = f"--{name}={values[name]}: expected a positive integer up to {MAX_WORKERS}."
            raise UsageError(text)
    if values["trial_seconds"] == 0:
        raise UsageError("--trial_seconds=0: expected a positive integer; leave it out for none.")
    words = []
    if values["algorithms"] is not None:
        words = [word.strip() for word in values["algorithms"].split(",")]
        if not all(words):
            text = f"--algorithms {values['algorithms']}: expected code words separated by commas."
            raise UsageError(text)
    lean = [(key, value, Origin("sweep")) for key, value in _LEAN]
    return expand_grid(
        values["config"],
        algorithms=words,
        grid=parse_grid(values["grid"]),
        seeds=values["seeds"],
        overrides=[*lean, *values["set"]],
    )


def _sweep(folder: Path, trials: list[Trial], values: dict) -> int:
    missing = []
    for trial in trials:
        record = read_run(trials_folder(folder) / trial.name)
        _refuse_other(folder, trial, record)
        if not record.is_done(trial.config):
            missing.append(trial)
    print(
        f"{len(trials)} trials, {len(trials) - len(missing)} of them finished before; "
        f"{len(missing)} to run; work directory {folder}",
        flush=True,
    )
    names = [trial.name for trial in trials]
    write_json(folder / "sweep.json", {"command": values, "trials": names})
    (folder / "stop").unlink(missing_ok=True)
    problems: dict[str, str] = {}
    with InterruptFlag() as interrupted:
        jobs = [_job(folder, trial, values) for trial in missing]
        _write_configs(folder, missing)
        try:
            outcomes = launch(
                jobs,
                launcher=values["launcher"] or "local",
                workers=values["workers"] or 1,
                address=values["address"],
                allow_network=values["allow_network"],
                folder=folder / "submitit",
                options=_options(values["slurm"]),
                is_stopped=lambda: bool(interrupted) or (folder / "stop").exists(),
            )
            for number, outcome in enumerate(outcomes, 1):
                if outcome.problem is not None:
                    problems[outcome.name] = outcome.problem
                print(_line(folder, number, len(jobs), outcome), flush=True)
        except LauncherError as error:
            raise CommandError(str(error)) from None
        is_stopped = bool(interrupted) or (folder / "stop").exists()
    (folder / "stop").unlink(missing_ok=True)
    rows = _write_results(folder, trials, problems)
    num_done = sum(row["status"] == "finished" for row in rows)
    for row in rows:
        if row["status"] == "failed":
            print(f"FAILED {row['trial']}: {row['problem']}")
            print(f"       log: {folder / 'logs' / row['trial']}.txt")
    print(f"{num_done} of {len(rows)} trials have a result; table: {folder / 'results.csv'}")
    if is_stopped:
        print("stopped; the same command goes on.")
        return INTERRUPTED
    return 0 if num_done == len(rows) else 1


def _refuse_other(folder: Path, trial: Trial, record) -> None:
    """A trial's folder must hold a run of this sweep, or none."""
    if record.config is None:
        return
    differences = record.config.differences(
        trial.config, ignore=("training", "outputs", "gmmvi_runner_config")
    )
    if differences:
        raise CommandError(
            f"--workdir {folder}: holds another sweep, whose trial {trial.name} differs in "
            f"{'; '.join(differences[:5])}. Choose another folder."
        )


def _write_configs(folder: Path, trials: list[Trial]) -> None:
    for trial in trials:
        write_whole(folder / "configs" / f"{trial.name}.yml", trial.config.to_yaml())


def _job(folder: Path, trial: Trial, values: dict) -> Job:
    root = folder.absolute()
    arguments = [
        "run",
        "--config",
        str(root / "configs" / f"{trial.name}.yml"),
        "--workdir",
        str(trials_folder(root) / trial.name),
    ]
    if values["device"] is not None:
        arguments += ["--device", values["device"]]
    if values["allow_outside"]:
        arguments.append("--allow_outside")
    environment = {}
    threads = values["threads"]
    is_elsewhere = values["launcher"] == "submitit" or values["address"] is not None
    if threads is None and not is_elsewhere:
        threads = max(1, (os.cpu_count() or 1) // (values["workers"] or 1))
    if threads:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
            environment[name] = str(threads)
    return Job(
        trial.name,
        tuple(arguments),
        str(root / "logs" / f"{trial.name}.txt"),
        str(root / "stop"),
        environment,
        values["trial_seconds"],
    )


def _options(arguments: Sequence[str]) -> dict:
    return {key: value for key, value, _ in map(parse_override, arguments)}


def _line(folder: Path, number: int, total: int, outcome: Outcome) -> str:
    head = f"[{number:>{len(str(total))}}/{total}] {outcome.name}"
    if outcome.problem is not None:
        return f"{head}: {outcome.problem}"
    summary = read_run(trials_folder(folder) / outcome.name).summary
    elbo, error = summary.get("elbo"), summary.get("elbo_se")
    figures = "no ELBO" if elbo is None or error is None else f"ELBO {elbo:.3f} +- {error:.3f}"
    return f"{head}: {figures}, {summary.get('stop_reason')}, {outcome.seconds:.1f} s"


def _write_results(folder: Path, trials: list[Trial], problems: dict[str, str]) -> list[dict]:
    records = {trial.name: read_run(trials_folder(folder) / trial.name) for trial in trials}
    about = {
        trial.name: {"algorithm": trial.algorithm, **trial.values, "seed": trial.seed}
        for trial in trials
    }
    rows = results.collect_rows(records, about, problems)
    keys = ["algorithm", *(key for key in trials[0].values if key != "seed")]
    groups = results.summarize(rows, keys)
    results.write_table(folder / "results", rows)
    results.write_table(folder / "summary", groups)
    page = _page(folder, keys, groups, rows)
    write_whole(folder / "summary.md", page)
    print(page)
    return rows


def _page(folder: Path, keys: list[str], groups: list[dict], rows: list[dict]) -> str:
    shown = [key.rpartition(".")[2] for key in keys]
    columns = [*shown, "runs", "trusted", "ELBO", "interval", "coverage", "evaluations", "seconds"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for group in groups:
        cells = [str(group[key]) for key in keys]
        cells += [f"{group['finished']}/{group['runs']}", str(group["trusted"])]
        is_interval = bool(group["coverage"])
        if group["elbo_median"] is None:
            cells += ["-"] * 5
        else:
            cells += [
                f"{group['elbo_median']:.4f}",
                f"{group['elbo_low']:.4f} .. {group['elbo_high']:.4f}" if is_interval else "-",
                f"{100 * group['coverage']:.0f} %" if is_interval else "-",
                f"{group['num_target_evaluations_median']:,.0f}",
                f"{group['train_seconds_median']:.1f}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    failed = [row for row in rows if row["status"] != "finished"]
    if failed:
        lines += ["", "Without a result:", ""]
        lines += [f"- {row['trial']}: {row['status']}: {row['problem'] or '-'}" for row in failed]
    return "\n".join([f"# Sweep {shlex.quote(folder.name)}", "", *lines, ""])
