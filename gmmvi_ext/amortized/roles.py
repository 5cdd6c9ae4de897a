"""The registries of the parts: a name for each, one registry a role."""

import dataclasses
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
      ValueError: neither a name nor a rule.
    """
    rule = default if rule is None else rule
    if isinstance(rule, str):
        return registry.get(rule)()
    is_layer = hasattr(rule, "add_weight")
    is_rule = dataclasses.is_dataclass(rule) or hasattr(rule, "build")
    if isinstance(rule, type) or is_layer or not is_rule:
        advice = "; layers of your own go into a `Network`" if is_layer else ""
        raise ValueError(
            f"the {registry.role} must be one of {', '.join(map(repr, registry))}, or a rule with "
            f"settings such as {registry.get(next(iter(registry))).__name__}(), got "
            f"{rule!r}{advice}."
        )
    return rule
