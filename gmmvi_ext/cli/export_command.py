"""`gmmvi-ext export WORKDIR`: what a run trained, from its checkpoint, ended or not.

What was trained is built as the run's own configuration says, and the checkpoint's numbers are put
into it. A configuration in a work directory is not trusted to name code: what is `python:` needs
--allow_code, or --without_target, which reads the bare mixture and builds nothing.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.cli.tasks import task_of
from gmmvi_ext.config.documents import MIXTURE
from gmmvi_ext.config.errors import Origin
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.confined import is_file, no_folder
from gmmvi_ext.runs.errors import CommandError, UsageError, disk_trouble
from gmmvi_ext.runs.trust import refuse_code, refuse_links, refuse_outside
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.tensorflow_import import quiet_start

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
    if not is_file(folder / "config.yml"):
        why = no_folder(folder) or f"{positional[0][:300]}: holds no run (no config.yml)"
        raise CommandError(f"{why}.")
    overrides = [(f"outputs.{key}", True, Origin("export")) for key in ("export", "plots")]
    within = None if values["allow_outside"] else folder
    if within is not None:
        refuse_links(folder)
    config = load_config(
        folder / "config.yml", overrides=overrides, needs_target=False, within=within
    )
    if config.target_name is None and not values["without_target"]:
        raise CommandError(
            f"{folder}: a fit of a Python object, whose target no file names; the same call of "
            "fit with this work directory goes on with it, and --without_target --out DIR "
            "exports the mixture alone."
        )
    if values["without_target"] and config.document is not MIXTURE:
        raise UsageError(f"--without_target is for mixtures; {folder} holds {config.code_word}.")
    if not (values["allow_code"] or values["without_target"]):
        without = ", or --without_target for the mixture alone"
        way_out = "--allow_code if you trust it" + (without if config.document is MIXTURE else "")
        refuse_code(config, folder, way_out=way_out)
    if not (values["allow_outside"] or values["without_target"]):
        refuse_outside(config, folder)
    out = Path(values["out"]) if values["out"] else None
    if values["without_target"] and out is None:
        raise UsageError("--without_target needs --out DIR: what the run wrote is better.")
    # Into the work directory only while nobody else works in it.
    claim: contextlib.AbstractContextManager = contextlib.nullcontext(None)
    if out is None:
        claim = WorkDir(folder, allow_outside=values["allow_outside"])
    with claim as workdir:
        with quiet_start():
            import tensorflow as tf

            tf.zeros([])
        try:
            if values["without_target"] and out is not None:
                return _export_mixture(folder, out, values["checkpoint"])
            return task_of(config.document, "export")(
                config, folder, workdir=workdir, out=out, checkpoint=values["checkpoint"]
            )
        except OSError as error:
            raise CommandError(disk_trouble(error)) from error


def _flags() -> CommandFlags:
    flags = CommandFlags(
        _USAGE,
        "Writes the posterior of a run's newest checkpoint: SavedModel, portable form and "
        "mixture.npz; of a VAE its SavedModel. Without --out it goes where the run would have put "
        "it, with summary and plots, so that an interrupted run or a trial of a sweep gets "
        "everything it lacks.",
    )
    flags.string(
        "out", "folder for the export alone (default WORKDIR/posterior or WORKDIR/model)", "DIR"
    )
    flags.integer("checkpoint", "iteration of the checkpoint (default: the newest)")
    flags.boolean("without_target", "the mixture alone, unchecked, in its unconstrained space")
    flags.boolean("allow_code", "let the run's own configuration name python: code")
    flags.boolean("allow_outside", "let the work directory reach beyond itself: links and files")
    return flags


def _export_mixture(folder: Path, out: Path, number: int | None) -> int:
    """The mixture by the names of its arrays; nothing of the configuration is built."""
    from gmmvi_ext.constraints.layout import MappedLayout, PartsLayout
    from gmmvi_ext.fitting.saved_mixture import read_mixture
    from gmmvi_ext.posterior import Posterior
    from gmmvi_ext.training.checkpoints import CheckpointError

    try:
        mixture, iteration, found = read_mixture(folder / "checkpoints", number)
    except CheckpointError as error:
        raise CommandError(str(error)) from None
    try:
        plain = PartsLayout(num_dimensions=mixture.num_dimensions)
        layout = plain if found is None else MappedLayout(plain, found)
        Posterior(mixture, layout=layout, run_info={"iterations": iteration}).export(out)
    except FileExistsError as error:
        raise CommandError(f"--out {out}: {error}") from None
    print(f"checkpoint of iteration {iteration}; mixture of {mixture.num_components} components")
    print(f"model: {out}")
    return 0
