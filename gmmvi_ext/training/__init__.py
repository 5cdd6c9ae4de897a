"""Training: the loop, when it stops, what it writes, how it goes on after an interruption."""

from typing import TYPE_CHECKING

from gmmvi_ext.lazy import lazy_names

if TYPE_CHECKING:
    from gmmvi_ext.training.algorithm import Algorithm as Algorithm
    from gmmvi_ext.training.interrupt import InterruptFlag as InterruptFlag
    from gmmvi_ext.training.loop import TrainingResult as TrainingResult
    from gmmvi_ext.training.loop import train as train
    from gmmvi_ext.training.patience import Patience as Patience
    from gmmvi_ext.training.progress import ProgressDisplay as ProgressDisplay
    from gmmvi_ext.training.stopping import Convergence as Convergence
    from gmmvi_ext.training.stopping import Limits as Limits
    from gmmvi_ext.training.stopping import StopReason as StopReason
    from gmmvi_ext.training.writers import JsonlWriter as JsonlWriter
    from gmmvi_ext.training.writers import MetricWriter as MetricWriter
    from gmmvi_ext.training.writers import TensorBoardWriter as TensorBoardWriter
    from gmmvi_ext.training.writers import read_metrics as read_metrics
    from gmmvi_ext.training.writers import truncate_metrics as truncate_metrics

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
