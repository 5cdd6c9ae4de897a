"""`gmmvi-ext run`: from a configuration to a work directory with a posterior in it.

What is asked for is checked before TensorFlow is imported and before anything is written.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.cli.tasks import task_of
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import Origin
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.confined import is_file, is_inside, no_folder
from gmmvi_ext.runs.errors import MissingConfig, UsageError
from gmmvi_ext.runs.trust import refuse_code, refuse_outside
from gmmvi_ext.runs.workdir import WorkDir, folder_of_worker, fresh_folder, refuse_other_run
from gmmvi_ext.tensorflow_import import quiet_start

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Runs a fit; returns the exit code."""
    parsed = _flags().parse(arguments)
    if parsed is None:
        return 0
    values, positional = parsed
    if positional:
        raise UsageError(f"unexpected argument {positional[0]!r}; flags start with --.")
    config, path = _requested(values)
    folder = _own_folder(config, path)
    if config.code_names():  # code of the user's own may change the current folder
        folder = folder.absolute()
    with WorkDir(folder, allow_outside=values["allow_outside"]) as workdir:
        meant = [key.partition("=")[0].strip() for key in values["set"]] if values["resume"] else []
        refuse_other_run(config, workdir, meant=meant, by_default=not config.is_auto)
        for note in config.notes:
            print(f"note: {note}")
        with quiet_start():
            from gmmvi_ext.cli.devices import open_devices

            run = task_of(config.document, "run")
            device, workers = open_devices(config, values["device"])
        for warning in workers.warnings:
            print(f"note: {warning}.", flush=True)
        with workers:
            return run(config, workdir, device=device, parallel=workers)


def _own_folder(config: Config, path: Path) -> Path:
    """The work directory; worker i > 0 of several has one of its own beside it."""
    if not config.has_section("parallel"):
        return path
    if config.parallel.strategy != "multi_worker":
        return path
    try:
        worker = int(json.loads(os.environ["TF_CONFIG"])["task"]["index"])
    except (KeyError, TypeError, ValueError):
        return path  # what is wrong with it is said when it is opened
    return folder_of_worker(path, worker)


def _flags() -> CommandFlags:
    flags = CommandFlags(
        "gmmvi-ext run --config FILE [--set key=value]... [--workdir DIR]",
        "Fits the posterior that a configuration describes and leaves metrics, checkpoints, a "
        "SavedModel, a summary and plots in the work directory. The same command again goes on "
        "where the run stopped.",
    )
    flags.string("config", "YAML file, or the name of a shipped experiment", "FILE")
    flags.strings("set", "override of one value, training.max_seconds=60; repeatable", "KEY=VALUE")
    flags.string("algorithm", "code word that replaces the file's choice of rules", "CODE")
    flags.string("workdir", "folder of the run (default runs/NAME-TIME)", "DIR")
    flags.boolean("resume", "go on with the run in --workdir; --config may be left out")
    flags.integer("seed", "seed of everything random")
    flags.integer("num_iterations", "same as --set training.num_iterations=N")
    flags.string("device", "cpu, gpu, gpu:1 or auto", "DEVICE")
    flags.string(
        "strategy",
        "none, mirrored, multi_worker or dask: parallel evaluation; same as "
        "--set parallel.strategy=NAME",
        "NAME",
    )
    flags.boolean("allow_code", "let a resumed run's own configuration name python: code")
    flags.boolean(
        "allow_outside",
        "let the work directory reach beyond itself: links, files, addresses, ports",
    )
    return flags


def _requested(values: dict) -> tuple[Config, Path]:
    """The configuration the command line asks for, and the work directory."""
    source = values["config"]
    if source is None:
        if not values["resume"] or values["workdir"] is None:
            raise MissingConfig
        source = str(Path(values["workdir"]) / "config.yml")
        if not is_file(source):
            why = f"{values['workdir'][:300]}: holds no run to resume"
            why = no_folder(values["workdir"]) or why
            raise UsageError(f"--workdir {why}; give --config and another --workdir.")
    overrides = list(values["set"])
    for key, flag in (
        ("seed", "seed"),
        ("training.num_iterations", "num_iterations"),
        ("parallel.strategy", "strategy"),
    ):
        if values[flag] is not None:
            overrides.append((key, values[flag], Origin(f"--{flag} {values[flag]}")))
    path = Path(fresh_folder("runs", source) if values["workdir"] is None else values["workdir"])
    is_foreign = is_inside(Path(source).absolute().parent, path)
    within = path if is_foreign and not values["allow_outside"] else None
    config = load_config(source, algorithm=values["algorithm"], overrides=overrides, within=within)
    if not values["allow_code"]:
        way_out = "--config with a file of your own, or --allow_code if you trust it"
        refuse_code(config, path, way_out=way_out)
    if not values["allow_outside"]:
        refuse_outside(config, path)
    return config, path
