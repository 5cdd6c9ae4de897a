"""Priors over discrete latent variables, with all their values for enumeration."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import latent_shape
from gmmvi_ext.amortized.densities.categorical import independent_one_hot
from gmmvi_ext.amortized.priors.base import Prior, PriorRule
from gmmvi_ext.amortized.roles import PRIORS
from gmmvi_ext.types import DTypeLike, TensorLike

__all__ = ["BernoulliPrior", "OneHotPrior"]

MAX_ENUMERATED = 2**16  # values; variables with more are sampled, not enumerated


@PRIORS.register("bernoulli")
@dataclasses.dataclass(frozen=True)
class BernoulliPrior(PriorRule):
    """Independent bits with trainable logits, even odds at the start."""

    def build(
        self,
        latent_dim: int | Sequence[int],
        *,
        inference: Callable[[tf.Tensor], tfd.Distribution] | None = None,
        examples: TensorLike | None = None,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
    ) -> Prior:
        shape = latent_shape(latent_dim)
        logits = tf.Variable(tf.zeros(shape, dtype), name="logits")
        size = math.prod(shape)
        support = tf.zeros([0, *shape], dtype)
        if 2**size <= MAX_ENUMERATED:
            values = (np.arange(2**size)[:, np.newaxis] >> np.arange(size)) & 1
            support = tf.constant(values.reshape(-1, *shape), dtype)
        return Prior(
            shape,
            lambda: tfd.Independent(tfd.Bernoulli(logits, dtype=dtype), len(shape)),
            values="bits",
            support=support,
            parts=[logits],
        )


@PRIORS.register("one_hot_categorical", "categorical")
@dataclasses.dataclass(frozen=True)
class OneHotPrior(PriorRule):
    """One of L unit vectors, or a row of them, with trainable logits, uniform at the start."""

    def build(
        self,
        latent_dim: int | Sequence[int],
        *,
        inference: Callable[[tf.Tensor], tfd.Distribution] | None = None,
        examples: TensorLike | None = None,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
    ) -> Prior:
        shape = latent_shape(latent_dim)
        logits = tf.Variable(tf.zeros(shape, dtype), name="logits")
        count, classes = math.prod(shape[:-1]), shape[-1]
        support = tf.zeros([0, *shape], dtype)
        if classes**count <= MAX_ENUMERATED:
            chosen = np.array(list(itertools.product(range(classes), repeat=count)))
            support = tf.constant(np.eye(classes)[chosen].reshape(-1, *shape), dtype)
        return Prior(
            shape,
            lambda: independent_one_hot(logits, len(shape)),
            values="one_hot",
            support=support,
            parts=[logits],
        )
