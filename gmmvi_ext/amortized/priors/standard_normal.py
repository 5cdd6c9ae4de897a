"""The fixed prior N(0, I)."""

import dataclasses

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.priors.base import Prior, PriorRule
from gmmvi_ext.amortized.roles import PRIORS

__all__ = ["StandardNormalPrior", "standard_normal"]


def standard_normal(num_latents: int, dtype) -> tfd.Distribution:
    """N(0, I) over [L]."""
    zeros = tf.zeros([num_latents], dtype)
    return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 1)


@PRIORS.register("standard_normal", "gaussian")
@dataclasses.dataclass(frozen=True)
class StandardNormalPrior(PriorRule):
    """N(0, I), nothing trainable; the KL divergence from a Gaussian posterior is closed-form."""

    def build(self, num_latents, *, inference=None, examples=None, seed=0, dtype=tf.float32):
        return Prior(num_latents, lambda: standard_normal(num_latents, dtype))
