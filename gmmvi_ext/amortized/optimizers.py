"""Separate optimizers for generator, inference network and control variates, with clipping."""

import dataclasses
import operator
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, get_args

import keras
import tensorflow as tf

from gmmvi_ext.amortized.keras_backend import require_tensorflow_backend
from gmmvi_ext.ranges import NON_NEGATIVE, POSITIVE, Range, check_ranges, require

__all__ = ["GROUPS", "OptimizerGroup", "Optimizers", "OwnOptimizers"]

Kind = Literal[
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "ftrl",
    "lamb",
    "lion",
    "nadam",
    "rmsprop",
    "sgd",
]
_CLASSES = {"adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}  # others: first letter upper
_WITH_MOMENTUM = ("rmsprop", "sgd")
GROUPS = ("generator", "inference", "control")


@dataclasses.dataclass(frozen=True)
class Optimizers:
    """Settings of the three optimizers.

    Attributes:
      kind: name of a Keras optimizer.
      generator_rate: learning rate of prior and decoder.
      inference_rate: learning rate of the encoder and the posterior.
      control_rate: learning rate of control variates.
      weight_decay: of the generator, decoupled (subtracted from the weights, not added to the
        gradient); `control_weight_decay` that of control variates.
      momentum: of sgd and rmsprop.
      clip_norm: largest norm of each group's gradient; null for no limit.

    Example:
        >>> from gmmvi_ext.amortized import Optimizers
        >>> Optimizers(kind="rmsprop", generator_rate=3e-4).clip_norm
        5.0
    """

    kind: Kind = "adam"
    generator_rate: Annotated[float, POSITIVE] = 1e-3
    inference_rate: Annotated[float, POSITIVE] = 1e-3
    control_rate: Annotated[float, POSITIVE] = 1e-3
    weight_decay: Annotated[float, NON_NEGATIVE] = 0.0
    control_weight_decay: Annotated[float, NON_NEGATIVE] = 0.0
    momentum: Annotated[float, Range(0, 1, open_high=True)] = 0.0
    clip_norm: Annotated[float, POSITIVE] | None = 5.0

    def __post_init__(self):
        kinds = get_args(Kind)
        require(self.kind in kinds, "kind", f"one of {', '.join(kinds)}", self.kind)
        check_ranges(self)
        has_momentum = self.momentum == 0 or self.kind in _WITH_MOMENTUM
        require(has_momentum, "momentum", f"0 for {self.kind}, which has none", self.momentum)

    def build(self, group: str) -> keras.optimizers.Optimizer:
        """A new optimizer for one of `GROUPS`."""
        options = {"momentum": self.momentum} if self.kind in _WITH_MOMENTUM else {}
        decays = {"generator": self.weight_decay, "control": self.control_weight_decay}
        kind = getattr(keras.optimizers, _CLASSES.get(self.kind, self.kind.capitalize()))
        return kind(
            learning_rate=getattr(self, f"{group}_rate"),
            weight_decay=decays.get(group) or (0.0 if self.kind == "adamw" else None),
            name=group,
            **options,
        )


OwnOptimizers: TypeAlias = (
    str | keras.optimizers.Optimizer | Mapping[str, keras.optimizers.Optimizer]
)


class OptimizerGroup:
    """One Keras optimizer for each group of variables that has any.

    Args:
      settings: rates and clipping; or the name of a Keras optimizer; or one, of which each group
        gets a new one of the same settings; or one for each group by its name, which must not
        serve other variables already. Gradients are clipped as by default, and by the optimizers
        as they are set up.
      groups: name of the group -> its trainable variables.

    Raises:
      ValueError: a group has variables and no optimizer, or there is no such group.
    """

    def __init__(self, settings: Optimizers | OwnOptimizers, groups: dict[str, list[tf.Variable]]):
        require_tensorflow_backend()
        self._clip_norm = getattr(settings, "clip_norm", Optimizers.clip_norm)
        self.groups = {name: list(variables) for name, variables in groups.items() if variables}
        self._optimizers = {}
        for name, variables in self.groups.items():
            optimizer = _optimizer_of(settings, name)
            if optimizer.built and not _serves(optimizer, variables):
                raise ValueError(
                    f"the optimizer for {name!r} already serves other variables; give a new one."
                )
            optimizer.build(variables)
            self._optimizers[name] = optimizer

    @property
    def state(self) -> list[tf.Variable]:
        """Moments and counters, in a fixed order."""
        return [each.value for opt in self._optimizers.values() for each in opt.variables]

    def flat_variables(self) -> list[tf.Variable]:
        """All variables that are stepped, group after group."""
        return [variable for variables in self.groups.values() for variable in variables]

    def apply(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """Clips and applies gradients in the order of `flat_variables`.

        Nothing is stepped unless every gradient is finite.

        Returns:
          whether the step was taken.
        """
        pieces, norms, start = {}, [], 0
        for name, variables in self.groups.items():
            own = gradients[start : start + len(variables)]
            start += len(variables)
            norm = tf.linalg.global_norm(own)
            if self._clip_norm is not None:
                own, _ = tf.clip_by_global_norm(own, self._clip_norm, use_norm=norm)
            pieces[name] = own
            norms.append(norm)
        is_fine = tf.reduce_all(tf.math.is_finite(tf.stack(norms)))

        def step():
            for name, own in pieces.items():
                self._optimizers[name].apply(own, self.groups[name])
            return tf.constant(True)

        return tf.cond(is_fine, step, lambda: tf.constant(False))


def _serves(optimizer: keras.optimizers.Optimizer, variables: list[tf.Variable]) -> bool:
    own = optimizer._trainable_variables
    return len(own) == len(variables) and all(map(operator.is_, own, variables))


def _optimizer_of(settings, group: str) -> keras.optimizers.Optimizer:
    """The optimizer of one group; a fresh one where one stands for all."""
    if isinstance(settings, str):
        settings = Optimizers(kind=settings.lower())  # type: ignore[arg-type]
    if isinstance(settings, Optimizers):
        return settings.build(group)
    if isinstance(settings, keras.optimizers.Optimizer):
        return type(settings).from_config(settings.get_config())
    if not isinstance(settings, Mapping):
        raise ValueError(
            f"`optimizers` must be `Optimizers`, a Keras optimizer, its name, or one for each of "
            f"{', '.join(GROUPS)}, got {type(settings).__name__}."
        )
    unknown = sorted(set(settings) - set(GROUPS))
    if unknown or group not in settings:
        raise ValueError(
            f"`optimizers` must name {', '.join(GROUPS)}; {unknown[0]!r} is none of them."
            if unknown
            else f"`optimizers` has no optimizer for {group!r}; it has {', '.join(settings)}."
        )
    return settings[group]
