"""Priors over discrete latent vectors, with all their values for enumeration."""

import dataclasses

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.priors.base import Prior, PriorRule
from gmmvi_ext.amortized.roles import PRIORS

__all__ = ["BernoulliPrior", "OneHotPrior"]

MAX_ENUMERATED_BITS = 16


@PRIORS.register("bernoulli")
@dataclasses.dataclass(frozen=True)
class BernoulliPrior(PriorRule):
    """Independent bits with trainable logits, even odds at the start."""

    def build(self, num_latents, *, inference=None, examples=None, seed=0, dtype=tf.float32):
        logits = tf.Variable(tf.zeros([num_latents], dtype), name="logits")
        support = tf.zeros([0, num_latents], dtype)  # longer vectors are sampled, not enumerated
        if num_latents <= MAX_ENUMERATED_BITS:
            values = (np.arange(2**num_latents)[:, np.newaxis] >> np.arange(num_latents)) & 1
            support = tf.constant(values, dtype)
        return Prior(
            num_latents,
            lambda: tfd.Independent(tfd.Bernoulli(logits, dtype=dtype), 1),
            values="bits",
            support=support,
            parts=[logits],
        )


@PRIORS.register("one_hot_categorical", "categorical")
@dataclasses.dataclass(frozen=True)
class OneHotPrior(PriorRule):
    """One of L unit vectors with trainable logits, uniform at the start."""

    def build(self, num_latents, *, inference=None, examples=None, seed=0, dtype=tf.float32):
        logits = tf.Variable(tf.zeros([num_latents], dtype), name="logits")
        return Prior(
            num_latents,
            lambda: tfd.OneHotCategorical(logits, dtype=dtype),
            values="one_hot",
            support=tf.eye(num_latents, dtype=dtype),
            parts=[logits],
        )
