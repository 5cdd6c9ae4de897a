"""Separate optimisers for generator, inference network and control variates, with clipping."""

import dataclasses
from typing import Annotated, Literal

import keras
import tensorflow as tf

from gmmvi_ext.ranges import NON_NEGATIVE, POSITIVE, check_ranges, require

__all__ = ["OptimizerGroup", "Optimizers"]


@dataclasses.dataclass(frozen=True)
class Optimizers:
    """Settings of the three optimisers.

    Attributes:
      kind: adam or rmsprop.
      generator_rate: learning rate of prior and decoder.
      inference_rate: learning rate of the encoder and the posterior.
      control_rate: learning rate of control variates.
      weight_decay: of the generator, decoupled.
      clip_norm: largest norm of each group's gradient; null for no limit.
    """

    kind: Literal["adam", "rmsprop"] = "adam"
    generator_rate: Annotated[float, POSITIVE] = 1e-3
    inference_rate: Annotated[float, POSITIVE] = 1e-3
    control_rate: Annotated[float, POSITIVE] = 1e-3
    weight_decay: Annotated[float, NON_NEGATIVE] = 0.0
    clip_norm: Annotated[float, POSITIVE] | None = 5.0

    def __post_init__(self):
        require(self.kind in ("adam", "rmsprop"), "kind", "adam or rmsprop", self.kind)
        check_ranges(self)


class OptimizerGroup:
    """One Keras optimiser for each group of variables that has any.

    Args:
      settings: rates and clipping.
      groups: name of the group -> its trainable variables.
    """

    def __init__(self, settings: Optimizers, groups: dict[str, list[tf.Variable]]):
        self._settings = settings
        self.groups = {name: list(variables) for name, variables in groups.items() if variables}
        kind = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[settings.kind]
        self._optimizers = {}
        for name, variables in self.groups.items():
            rate = getattr(settings, f"{name}_rate")
            decay = settings.weight_decay if name == "generator" else 0.0
            optimizer = kind(learning_rate=rate, weight_decay=decay or None, name=name)
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
            if self._settings.clip_norm is not None:
                own, _ = tf.clip_by_global_norm(own, self._settings.clip_norm, use_norm=norm)
            pieces[name] = own
            norms.append(norm)
        is_fine = tf.reduce_all(tf.math.is_finite(tf.stack(norms)))

        def step():
            for name, own in pieces.items():
                self._optimizers[name].apply(own, self.groups[name])
            return tf.constant(True)

        return tf.cond(is_fine, step, lambda: tf.constant(False))
