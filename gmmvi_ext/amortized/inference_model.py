"""q(z | x): encoder, head, conditional density."""

from collections.abc import Sequence
from typing import Annotated

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.conditional_net import ConditionalNet
from gmmvi_ext.amortized.densities.base import ConditionalDensity, DensityRule
from gmmvi_ext.amortized.networks.base import Network
from gmmvi_ext.ranges import Range, checked
from gmmvi_ext.types import DTypeLike

__all__ = ["InferenceModel"]


class InferenceModel(tf.Module):
    """Posterior of latent variables given data.

    Args:
      encoder: [..., *event] -> [..., F].
      density: rule of the posterior, or its registered name.
      latent_dim: length of a latent vector, or shape of a latent array.
      hidden: units of hidden layers between encoder and linear head.
      dropout: share of the inputs of the head that is left out in training.
      seed: of the head's initial weights.

    Example:
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> q = vae.inference(x)
        >>> q.batch_shape, q.event_shape
        (TensorShape([1]), TensorShape([2]))
    """

    @checked
    def __init__(
        self,
        encoder: Network,
        density: DensityRule | str,
        latent_dim: int | Sequence[int],
        *,
        hidden: Sequence[int] = (),
        dropout: Annotated[float, Range(0, 1, open_high=True)] = 0.0,
        seed: int,
        dtype: DTypeLike = tf.float32,
    ):
        super().__init__(name="inference")
        self.encoder = encoder
        self.head = ConditionalNet(
            density,
            latent_dim,
            encoder.output_shape,
            hidden=hidden,
            dropout=dropout,
            seed=seed,
            dtype=dtype,
            name="head",
        )

    @property
    def density(self) -> ConditionalDensity:
        """Of the posterior."""
        return self.head.density

    def __call__(self, x: tf.Tensor, *, training: bool = False) -> tfd.Distribution:
        """q(z | x), batch shape [...] for x [..., *event]."""
        return self.head(self.encoder(x, training=training), training=training)
