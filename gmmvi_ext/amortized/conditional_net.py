"""A conditional density with a network of its own: inputs in, distribution out.

net = ConditionalNet("gaussian", 12, 5, hidden=(2,))
net(inputs)         # N(loc, scale^2) over [12] for inputs [..., 5]
"""

from collections.abc import Sequence
from typing import Annotated

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import latent_shape, sizes
from gmmvi_ext.amortized.densities.base import DensityRule
from gmmvi_ext.amortized.networks.base import Network, dense, flattened, num_elements
from gmmvi_ext.amortized.roles import DENSITIES, part
from gmmvi_ext.ranges import Range, checked, require_module_name
from gmmvi_ext.types import DTypeLike

__all__ = ["ConditionalNet"]


class ConditionalNet(tf.Module):
    """p(outcome | inputs): hidden layers, a linear layer, a conditional density.

    Args:
      density: rule of the density, or its registered name.
      outcome: length or shape of an outcome.
      inputs: length or shape of an input.
      hidden: units of the hidden layers; none gives the linear layer alone.
      activation: after each hidden layer.
      dropout: share of the inputs of each linear layer that is left out in training.
      seed: of the initial weights.
      dtype: floating dtype.

    Example:
        >>> from gmmvi_ext.amortized import ConditionalNet
        >>> net = ConditionalNet("gaussian", outcome=2, inputs=3, hidden=(8,))
        >>> p = net(tf.zeros([5, 3]))
        >>> p.batch_shape, p.event_shape
        (TensorShape([5]), TensorShape([2]))
    """

    @checked
    def __init__(
        self,
        density: DensityRule | str,
        outcome: int | Sequence[int],
        inputs: int | Sequence[int],
        *,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        dropout: Annotated[float, Range(0, 1, open_high=True)] = 0.0,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
        name: str = "conditional_net",
    ):
        super().__init__(name=require_module_name(name))
        rule: DensityRule = part(DENSITIES, density)
        self.density = rule.build(latent_shape(outcome), seed=seed + 1, dtype=dtype)
        shape = latent_shape(inputs)
        layers = flattened(shape, dtype)
        hidden = sizes("hidden", hidden)
        for number, units in enumerate(hidden):
            layers += dense(
                units,
                seed=seed + 2 + number,
                dtype=dtype,
                activation=activation,
                dropout=dropout,
                name=f"hidden_{number}",
            )
        size = num_elements(self.density.output_shape)
        layers += dense(size, seed=seed, dtype=dtype, dropout=dropout, name="head")
        self.network = Network(layers, shape, self.density.output_shape, dtype=dtype, name="head")

    def __call__(self, inputs: tf.Tensor, *, training: bool = False) -> tfd.Distribution:
        """Distribution with batch shape [...] for inputs [..., *inputs].

        Args:
          inputs: [..., *inputs].
          training: whether inputs of linear layers are dropped out.
        """
        return self.density(self.network(inputs, training=training))
