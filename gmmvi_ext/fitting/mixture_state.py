"""A mixture in variables, so that a checkpoint can hold it."""

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture

__all__ = ["MixtureState"]


class MixtureState(tf.Module):
    """Holds one mixture; the number of components is open, the family is that of the first value.

    Args:
      mixture: first value.
    """

    def __init__(self, mixture: Mixture):
        super().__init__(name="mixture_state")
        self._family = type(mixture.components)
        fields = {"log_weights": mixture.log_weights, **mixture.components._asdict()}
        self._values = {
            name: tf.Variable(value, shape=[None, *value.shape[1:]], trainable=False, name=name)
            for name, value in fields.items()
        }

    def mixture(self) -> Mixture:
        """The current value."""
        components = (self._values[name].read_value() for name in self._family._fields)
        return Mixture(self._values["log_weights"].read_value(), self._family(*components))

    def assign(self, mixture: Mixture) -> None:
        """Replaces the value."""
        self._values["log_weights"].assign(mixture.log_weights)
        for name, value in mixture.components._asdict().items():
            self._values[name].assign(value)
