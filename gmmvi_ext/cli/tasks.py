"""Who runs and who exports what a configuration describes; imported when asked for (TensorFlow)."""

import importlib
from collections.abc import Callable

from gmmvi_ext.config.document import Document

__all__ = ["TASKS", "task_of"]

# Document -> task -> function, which takes a checked configuration.
TASKS = {
    "mixture": {
        "run": "gmmvi_ext.fitting.experiment:run_experiment",
        "export": "gmmvi_ext.fitting.export:export_mixture_run",
    },
    "vae": {
        "run": "gmmvi_ext.runs.vae:run_vae",
        "export": "gmmvi_ext.runs.vae:export_vae_run",
    },
}


def task_of(document: Document, name: str) -> Callable[..., int]:
    """The function for the task `run` or `export`; it returns an exit code."""
    module, _, function = TASKS[document.name][name].partition(":")
    return getattr(importlib.import_module(module), function)
