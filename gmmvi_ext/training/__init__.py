"""Training: the loop, when it stops, what it writes, how it goes on after an interruption."""

from gmmvi_ext.training.algorithm import Algorithm
from gmmvi_ext.training.interrupt import InterruptFlag
from gmmvi_ext.training.loop import TrainingResult, fit
from gmmvi_ext.training.patience import Patience
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.stopping import Convergence, Limits, StopReason
from gmmvi_ext.training.writers import (
    JsonlWriter,
    MetricWriter,
    TensorBoardWriter,
    read_metrics,
    truncate_metrics,
)

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
