"""The fixed prior N(0, I)."""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import latent_shape
from gmmvi_ext.amortized.priors.base import Prior, PriorRule
from gmmvi_ext.amortized.roles import PRIORS
from gmmvi_ext.types import DTypeLike, TensorLike

__all__ = ["StandardNormalPrior", "standard_normal"]


def standard_normal(latent_dim: int | Sequence[int], dtype) -> tfd.Distribution:
    """N(0, I) over vectors of a length, or arrays of a shape."""
    shape = latent_shape(latent_dim)
    zeros = tf.zeros(shape, dtype)
    return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), len(shape))


@PRIORS.register("standard_normal", "gaussian")
@dataclasses.dataclass(frozen=True)
class StandardNormalPrior(PriorRule):
    """N(0, I), nothing trainable; the KL divergence from a Gaussian posterior is closed-form."""

    def build(
        self,
        latent_dim: int | Sequence[int],
        *,
        inference: Callable[[tf.Tensor], tfd.Distribution] | None = None,
        examples: TensorLike | None = None,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
    ) -> Prior:
        return Prior(latent_dim, lambda: standard_normal(latent_dim, dtype))
