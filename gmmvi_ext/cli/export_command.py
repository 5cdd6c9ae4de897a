"""`gmmvi-ext export WORKDIR`: the posterior of a run from its checkpoint, ended or not.

Target and algorithm are built as the run's own configuration says, and the checkpoint's numbers are
put into them. A configuration in a work directory is not trusted to name code: `python:` targets
need --allow_code, or --without_target, which reads the bare mixture and builds nothing.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.cli.quiet import quiet_start
from gmmvi_ext.config.config import Config, load_config
from gmmvi_ext.config.errors import Origin
from gmmvi_ext.runs.errors import CommandError, UsageError
from gmmvi_ext.runs.workdir import WorkDir

__all__ = ["main"]

_USAGE = "gmmvi-ext export WORKDIR [--out DIR] [--checkpoint N]"


def main(arguments: Sequence[str]) -> int:
    """Restores a checkpoint and exports its mixture."""
    parsed = _flags().parse(arguments)
    if parsed is None:
        return 0
    values, positional = parsed
    if len(positional) != 1:
        raise UsageError(f"expected one work directory, got {len(positional)}; usage: {_USAGE}.")
    folder = Path(positional[0])
    if not (folder / "config.yml").is_file():
        raise CommandError(f"{folder}: holds no run (no config.yml).")
    if load_config(folder / "config.yml").is_vae:
        raise CommandError(f"{folder}: holds a VAE; give its run command again to export it.")
    overrides = [(f"outputs.{key}", True, Origin("export")) for key in ("export", "plots")]
    config = load_config(folder / "config.yml", overrides=overrides)
    is_code = config.target_name.startswith("python:")
    if is_code and not (values["allow_code"] or values["without_target"]):
        raise CommandError(
            f"{folder / 'config.yml'}: environment_name: {config.target_name} would run code that "
            "the work directory names; give --allow_code if you trust it, or --without_target for "
            "the mixture alone."
        )
    out = Path(values["out"]) if values["out"] else None
    if values["without_target"] and out is None:
        raise UsageError("--without_target needs --out DIR: what the run wrote is better.")
    # Into the work directory only while nobody else works in it.
    claim = WorkDir(folder) if out is None else contextlib.nullcontext(None)
    with claim as workdir:
        with quiet_start():
            import tensorflow as tf

            tf.zeros([])
        try:
            if values["without_target"]:
                return _export_mixture(folder, out, values["checkpoint"])
            return _export(config, folder, workdir, out, values["checkpoint"])
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"{place}{error.strerror or error}") from error


def _flags() -> CommandFlags:
    flags = CommandFlags(
        _USAGE,
        "Writes the posterior of a run's newest checkpoint: SavedModel, portable form and "
        "mixture.npz. Without --out it goes where the run would have put it, with summary and "
        "plots, so that an interrupted run or a cell of a sweep gets everything it lacks.",
    )
    flags.string("out", "folder for the export alone (default WORKDIR/posterior)", "DIR")
    flags.integer("checkpoint", "iteration of the checkpoint (default: the newest)")
    flags.boolean("without_target", "the mixture alone, unchecked, in its unconstrained space")
    flags.boolean("allow_code", "let the run's own configuration name python: targets")
    return flags


def _export(
    config: Config, folder: Path, workdir: WorkDir | None, out: Path | None, number: int | None
) -> int:
    from gmmvi_ext.config.build import build_algorithm, build_target
    from gmmvi_ext.runs.outputs import posterior_of, write_outputs
    from gmmvi_ext.training.checkpoints import CheckpointError, Checkpoints

    target = build_target(config)
    algorithm = build_algorithm(config, target)
    checkpoints = Checkpoints(folder / "checkpoints", algorithm)
    try:
        state = checkpoints.restore(number)
    except CheckpointError as error:
        raise CommandError(str(error)) from None
    if state is None:
        raise CommandError(f"{folder / 'checkpoints'}: holds no checkpoint yet.")
    for passed in checkpoints.passed_over:
        print(f"note: checkpoint passed over: {passed}")
    result = _result(folder, algorithm, state)
    evaluations = f"{result.num_target_evaluations:,} evaluations"
    print(f"checkpoint of iteration {result.iterations}, {evaluations}")
    if out is None:
        write_outputs(config, workdir, target, algorithm, result)
        return 0
    posterior = posterior_of(config, target, algorithm, result)
    report = posterior.report(num_samples=config.outputs.num_report_samples, seed=config.seed)
    try:
        posterior.export(out)
    except FileExistsError as error:
        raise CommandError(f"--out {out}: {error}") from None
    print(report.verdict)
    print(f"model: {out}")
    return 0


def _result(folder: Path, algorithm, state: dict):
    """What the training loop would have returned at this checkpoint."""
    from gmmvi_ext.training.loop import Clock, TrainingResult
    from gmmvi_ext.training.stopping import StopReason

    iterations = int(algorithm.num_iterations)
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        reason = StopReason(record["stop_reason"]) if record["iterations"] == iterations else None
    except (OSError, ValueError, KeyError, TypeError):
        reason = None
    return TrainingResult(
        reason or StopReason.INTERRUPTED,
        iterations,
        int(algorithm.num_target_evaluations),
        int(algorithm.num_nonfinite),
        Clock(**state.get("clock", {})),
        {},
    )


def _export_mixture(folder: Path, out: Path, number: int | None) -> int:
    """The mixture by the names of its arrays; nothing of the configuration is built."""
    from gmmvi_ext.fitting.saved_mixture import read_mixture
    from gmmvi_ext.posterior import Posterior
    from gmmvi_ext.training.checkpoints import CheckpointError

    try:
        mixture, iteration = read_mixture(folder / "checkpoints", number)
    except CheckpointError as error:
        raise CommandError(str(error)) from None
    try:
        Posterior(mixture, run_info={"iterations": iteration}).export(out)
    except FileExistsError as error:
        raise CommandError(f"--out {out}: {error}") from None
    print(f"checkpoint of iteration {iteration}; mixture of {mixture.num_components} components")
    print(f"model: {out}")
    return 0
