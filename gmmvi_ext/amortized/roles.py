"""The registries of the parts: a name for each, one registry a role."""

from typing import Any

from gmmvi_ext.registry import Registry

__all__ = [
    "CONTROL_VARIATES",
    "DATA_SETS",
    "DECODERS",
    "DENSITIES",
    "ENCODERS",
    "ESTIMATORS",
    "PRIORS",
    "part",
]

PRIORS = Registry("prior")
DENSITIES = Registry("conditional density")
ENCODERS = Registry("encoder")
DECODERS = Registry("decoder")
ESTIMATORS = Registry("gradient estimator")
CONTROL_VARIATES = Registry("control variate")
DATA_SETS = Registry("data set")


def part(registry: Registry, rule: Any, default: str | None = None) -> Any:
    """A part from its rule or from the name of one, with default settings.

    Args:
      registry: of its role.
      rule: an object that is taken as it is, a registered name, or None for `default`.
      default: registered name.

    Raises:
      UnknownNameError: with the names there are.
    """
    rule = default if rule is None else rule
    return registry.get(rule)() if isinstance(rule, str) else rule
