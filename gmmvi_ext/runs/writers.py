"""Where metrics and results may go beside the work directory: TensorBoard, MLflow."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

from gmmvi_ext.config.config import Config
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.writers import TensorBoardWriter

__all__ = [
    "open_writers",
    "publish",
    "require_extras",
    "tensorboard_writers",
]


def open_writers(config: Config, workdir: WorkDir, record: dict) -> list:
    """TensorBoard and MLflow writers as configured; the id of the MLflow run goes into `record`."""
    writers = tensorboard_writers(config, workdir)
    uri = config.outputs.mlflow
    if uri:
        writers.append(_mlflow(config, workdir, uri, record))
    return writers


def publish(writers: Sequence, workdir: WorkDir, plots: Sequence[Path], iteration: int) -> None:
    """Hands figures and summary to the writers that take them; they may have been closed."""
    for writer in writers:
        if isinstance(writer, TensorBoardWriter):
            again = TensorBoardWriter(workdir / "tensorboard")
            again.write_figures(plots, iteration)
            again.close()
        elif hasattr(writer, "finish"):
            summary = json.loads((workdir / "summary.json").read_text(encoding="utf-8"))
            status = "KILLED" if summary.get("stop_reason") == "interrupted" else "FINISHED"
            files = [workdir / name for name in ("config.yml", "summary.json", "summary.md")]
            writer.finish(summary, [*files, *plots], status)


def tensorboard_writers(config: Config, workdir: WorkDir) -> list:
    """One writer where TensorBoard is wanted and there, none otherwise.

    Raises:
      CommandError: it is wanted and not there.
    """
    _require(config, "tensorboard", config.outputs.tensorboard is True)
    is_used = config.outputs.tensorboard is not False and _is_installed("tensorboard")
    return [TensorBoardWriter(workdir / "tensorboard")] if is_used else []


def require_extras(config: Config) -> None:
    """Refuses outputs whose packages are missing, before anything is written.

    Raises:
      CommandError: names the key and the extra.
    """
    _require(config, "tensorboard", config.outputs.tensorboard is True)
    _require(config, "mlflow", bool(config.values["outputs"].get("mlflow")))


def _require(config: Config, package: str, is_wanted: bool) -> None:
    if is_wanted and not _is_installed(package):
        key = f"outputs.{package}"
        nothing = "false" if package == "tensorboard" else "null"
        raise CommandError(
            f"{config.origin(key)}: {key}: {package} is not installed; pip install "
            f"'gmmvi_ext[{package}]', or set it to {nothing}."
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _mlflow(config: Config, workdir: WorkDir, uri: str, record: dict):
    place = f"{config.origin('outputs.mlflow')}: outputs.mlflow"
    from gmmvi_ext.training.mlflow_writer import MlflowWriter

    try:
        writer = MlflowWriter(
            uri,
            experiment=config.target_name or "gmmvi_ext",
            run_name=workdir.path.name,
            parameters=config.flat(),
            run_id=record.get("mlflow_run"),
        )
    except Exception as error:  # a store that cannot be had: one line
        text = " ".join(str(error).split())[:300]
        raise CommandError(f"{place}: {uri}: {type(error).__name__}: {text}") from error
    record["mlflow_run"] = writer.run_id
    return writer
