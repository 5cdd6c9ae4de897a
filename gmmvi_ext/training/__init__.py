"""Training: the loop, when it stops, what it writes, how it goes on after an interruption."""

from gmmvi_ext.lazy import lazy_names

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
    "read_metrics",
    "train",
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
    "train": "loop",
    "read_metrics": "writers",
    "truncate_metrics": "writers",
}
__getattr__, __dir__ = lazy_names(
    __name__, {name: f"{__name__}.{module}" for name, module in _MODULE.items()}
)
