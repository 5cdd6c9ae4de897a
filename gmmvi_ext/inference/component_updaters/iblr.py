"""Improved Bayesian learning rule (Lin, Schmidt and Khan, 2020): a step that never leaves the cone.

    Lambda' = Lambda + a (G + a/2 G Sigma G),    mu' = mu - a Sigma g,    a = s / temperature

In the eigenbasis the precision ratio is 1 + a lambda + (a lambda)^2 / 2, that is
(1 + (1 + a lambda)^2) / 2, positive for every symmetric G. The mean moves at once (the reference
skips the first move of every component, which wastes an iteration whenever one is added).
"""

import dataclasses

import tensorflow as tf

from gmmvi_ext.inference.component_updaters.base import NgBasedComponentUpdater

__all__ = ["NgBasedComponentUpdaterIblr"]


@NgBasedComponentUpdater.registry.register("iBLR")
@dataclasses.dataclass(frozen=True)
class NgBasedComponentUpdaterIblr(NgBasedComponentUpdater):
    """Step of the given stepsize with the second-order correction of iBLR."""

    def move(self, spectrum, stepsize, temperature, num_updates):
        scaled = tf.expand_dims(stepsize / temperature, 1)
        ratio = 2.0 / (1.0 + tf.square(1.0 + scaled * spectrum.eigenvalues))
        return ratio, scaled * spectrum.slope, tf.ones_like(stepsize, tf.bool)
