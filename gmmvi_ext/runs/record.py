"""What a run writes down about itself: `config.yml`, `run.json` and the table of `summary.md`."""

import dataclasses
import datetime
import importlib.metadata
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import tensorflow as tf

from gmmvi_ext import __version__
from gmmvi_ext.config.config import Config
from gmmvi_ext.runs.loss import settings_of
from gmmvi_ext.runs.reading import read_run, sessions_of
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.loop import TrainingResult

__all__ = ["config_text", "result_record", "result_summary", "run_record", "summary_page"]


def config_text(config: Config) -> str:
    """The resolved configuration as the text of `config.yml`."""
    word = config.code_word
    head = f"# Complete configuration of this run{f' ({word})' if word else ''}.\n"
    return head + config.to_yaml()


def run_record(config: Config, workdir: WorkDir, device: str) -> dict:
    """What somebody needs to know to get the same run again."""
    packages = ("tensorflow", "tensorflow-probability", "tf-keras", "numpy")
    versions = {name: _version(name) for name in packages}
    previous = read_run(workdir.path).run
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "status": "running",
        "command": sys.argv,
        "started": previous.get("started", now),
        "sessions": [*sessions_of(previous), now],
        "algorithm": config.code_word,
        "target": config.target_name,
        "seed": config.seed,
        "config": settings_of(config),
        "mlflow_run": previous.get("mlflow_run"),
        "device": device,
        "versions": {"gmmvi_ext": __version__, "python": platform.python_version(), **versions},
        "revision": _revision(),
        # Bit equality is promised for equal machine, versions and these two.
        "num_threads": {
            "cores": os.cpu_count(),
            "intra_op": tf.config.threading.get_intra_op_parallelism_threads(),
            "inter_op": tf.config.threading.get_inter_op_parallelism_threads(),
        },
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
    }


def result_record(result: TrainingResult) -> dict:
    """What training adds to `run.json`."""
    clock = {name: round(value, 3) for name, value in dataclasses.asdict(result.clock).items()}
    return {
        "stop_reason": str(result.stop_reason),
        "iterations": result.iterations,
        "num_target_evaluations": result.num_target_evaluations,
        "num_nonfinite": result.num_nonfinite,
        "seconds": {
            "tracing": clock["trace"],
            "stepping": round(clock["train"] - clock["trace"], 3),
            "evaluating": clock["evaluate"],
            "saving": clock["save"],
        },
    }


def result_summary(result: TrainingResult) -> dict:
    """What training adds to `summary.json`."""
    return {
        "num_target_evaluations": result.num_target_evaluations,
        "num_nonfinite": result.num_nonfinite,
        "iterations": result.iterations,
        "train_seconds": round(result.clock.train, 3),
        "trace_seconds": round(result.clock.trace, 3),
        "stop_reason": str(result.stop_reason),
    }


def summary_page(title: str, summary: dict, text: str = "") -> str:
    """`summary.md`: a table of `summary` under a title, and `text` below it."""
    lines = [f"# {title}", "", "| | |", "|---|---|"]
    for key, value in summary.items():
        if isinstance(value, float):
            value = f"{value:.6g}" if math.isfinite(value) else "-"
        lines.append(f"| {key} | {value} |")
    return "\n".join([*lines, "", *([text, ""] if text else [])])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Commit of the source tree, where the package runs from one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
