"""A model in words: its parts, their layers, how many numbers are trained."""

import math

import tensorflow as tf

from gmmvi_ext.amortized.model import LatentVariableModel
from gmmvi_ext.amortized.networks.base import Network

__all__ = ["described"]


def described(model: LatentVariableModel) -> str:
    """Parts and layers, a line each, with output shapes and numbers of parameters."""
    lines = [
        f"{type(model).__name__}: data {_shape(model.event_shape)}, latent "
        f"{_shape(model.latent_shape)}, {model.dtype.name}; "
        f"{_size(model.trainable_variables):,} trained parameters"
    ]
    prior = model.prior
    settings = getattr(model, "settings", None)
    kind = type(settings.prior).__name__ if settings else prior.name
    lines.append(_part("prior", kind, prior))
    lines.append(_part("encoder", "", model.inference.encoder))
    lines += _layers(model.inference.encoder)
    lines.append(_part("posterior", model.inference.density.name, model.inference.head))
    lines += _layers(model.inference.head.network)
    lines.append(_part("decoder", "", model.likelihood.decoder))
    lines += _layers(model.likelihood.decoder)
    lines.append(_part("likelihood", model.likelihood.density.name, model.likelihood.density))
    lines.append(f"  estimator   {model.estimator}")
    if model.control_variate is not None:
        control = model.control_variate
        names = [each.name for each in getattr(control, "members", [control])]
        lines.append(_part("control", ", ".join(names), control))
    return "\n".join(lines)


def _part(role: str, name: str, module: tf.Module) -> str:
    count = _size(module.trainable_variables)
    return f"  {role:<12}{name:<42}{count:>12,}" if count else f"  {role:<12}{name}"


def _layers(network: Network) -> list[str]:
    return [
        f"    {name:<24}{kind:<18}{shape.replace('None, ', ''):<22}{count:>8,}"
        for name, kind, shape, count in network.layer_rows
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _size(variables) -> int:
    return sum(math.prod(variable.shape) for variable in variables)
