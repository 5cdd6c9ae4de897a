"""Target densities: the interface, adapters for callables, and the benchmark targets by name."""

from gmmvi_ext.targets import benchmarks  # noqa: F401 - registers the benchmark targets
from gmmvi_ext.targets.base import Target, TargetError
from gmmvi_ext.targets.callables import CallableTarget, HostTarget
from gmmvi_ext.targets.minibatch_target import MinibatchTarget
from gmmvi_ext.targets.registry import TARGETS, build_target, target_settings

__all__ = [
    "TARGETS",
    "CallableTarget",
    "HostTarget",
    "MinibatchTarget",
    "Target",
    "TargetError",
    "build_target",
    "target_settings",
]
