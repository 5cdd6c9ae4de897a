"""q(z | x): encoder, linear head, conditional density."""

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.densities.base import DensityRule
from gmmvi_ext.amortized.networks.base import Network, dense

__all__ = ["InferenceModel"]


class InferenceModel(tf.Module):
    """Posterior of latent vectors given data.

    Args:
      encoder: [..., *event] -> [..., F].
      density: rule of the posterior.
      num_latents: L.
      seed: of the head's initial weights.
    """

    def __init__(
        self,
        encoder: Network,
        density: DensityRule,
        num_latents: int,
        *,
        seed: int,
        dtype=tf.float32,
    ):
        super().__init__(name="inference")
        self.encoder = encoder
        self.density = density.build((num_latents,), seed=seed + 1, dtype=dtype)
        shape = self.density.output_shape
        layers = dense(math.prod(shape), seed=seed, dtype=dtype, name="head")
        self.head = Network(layers, encoder.output_shape, shape, dtype=dtype, name="head")

    def __call__(self, x: tf.Tensor) -> tfd.Distribution:
        """q(z | x), batch shape [...] for x [..., *event]."""
        return self.density(self.head(self.encoder(x)))
