"""Natural-gradient step in natural parameters (Khan and Lin, 2017; Arenz et al., 2023, 3.1).

    Lambda' = Lambda + a G,    Lambda' mu' = Lambda mu + a (G mu - g),    a = s / temperature

A step of size one lands on a Gaussian target at once, whatever the temperature. Where Lambda' is
not positive definite the component keeps its value and the failure is reported.
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.inference.component_updaters.base import NgBasedComponentUpdater

__all__ = ["DirectNgBasedComponentUpdater"]


@NgBasedComponentUpdater.registry.register("direct")
@dataclasses.dataclass(frozen=True)
class DirectNgBasedComponentUpdater(NgBasedComponentUpdater):
    """Step of the given stepsize along the natural gradient."""

    def move(self, spectrum, stepsize, temperature, num_updates):
        scaled = tf.expand_dims(stepsize / temperature, 1)
        precision_ratio = 1.0 + scaled * spectrum.eigenvalues
        valid = tf.reduce_all(precision_ratio > 0, axis=-1)
        ratio = 1.0 / tf.where(precision_ratio > 0, precision_ratio, tf.ones_like(precision_ratio))
        return ratio, scaled * spectrum.slope * ratio, valid

    def multiplier(self, kl, stepsize, temperature):
        return temperature / stepsize
