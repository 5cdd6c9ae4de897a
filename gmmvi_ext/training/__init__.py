"""Training: the loop, when it stops, what it writes, how it goes on after an interruption."""

import importlib

__all__ = [
    "Algorithm",
    "Convergence",
    "InterruptFlag",
    "JsonlWriter",
    "Limits",
    "MetricWriter",
    "Patience",
    "ProgressDisplay",
    "StopReason",
    "TensorBoardWriter",
    "TrainingResult",
    "fit",
    "read_metrics",
    "truncate_metrics",
]

# Loaded when asked for: commands that only read runs do without TensorFlow.
_MODULE = {
    "Algorithm": "algorithm",
    "Convergence": "stopping",
    "InterruptFlag": "interrupt",
    "JsonlWriter": "writers",
    "Limits": "stopping",
    "MetricWriter": "writers",
    "Patience": "patience",
    "ProgressDisplay": "progress",
    "StopReason": "stopping",
    "TensorBoardWriter": "writers",
    "TrainingResult": "loop",
    "fit": "loop",
    "read_metrics": "writers",
    "truncate_metrics": "writers",
}


def __getattr__(name: str):
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
