"""VampPrior: a mixture of the posterior at trainable pseudo-inputs.

    p(z) = sum_k w_k q(z | u_k)

References:
  Tomczak and Welling (2018), VAE with a VampPrior.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.priors.base import Prior, PriorRule
from gmmvi_ext.amortized.roles import PRIORS
from gmmvi_ext.constraints import ConstrainedParameter, by_name
from gmmvi_ext.ranges import Range, check_ranges
from gmmvi_ext.types import DTypeLike, TensorLike

__all__ = ["VampPrior"]

_EDGE = 0.02  # first pseudo-inputs keep this distance from the ends of the unit interval


@PRIORS.register("vamp")
@dataclasses.dataclass(frozen=True)
class VampPrior(PriorRule):
    """Mixture of the posterior at pseudo-inputs, which start at data.

    Attributes:
      num_pseudo_inputs: number of components.
      constraint: set the pseudo-inputs live in, `interval` (0, 1) or `real`.
    """

    num_pseudo_inputs: Annotated[int, Range(1)] = 50
    constraint: str = "interval"

    def __post_init__(self):
        check_ranges(self)
        by_name(self.constraint)

    def build(
        self,
        latent_dim: int | Sequence[int],
        *,
        inference: Callable[[tf.Tensor], tfd.Distribution] | None = None,
        examples: TensorLike | None = None,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
    ) -> Prior:
        if inference is None or examples is None:
            raise ValueError(
                "the prior 'vamp' needs `inference` (the posterior) and `examples` (some data) to "
                "start from."
            )
        examples = np.asarray(examples, np.float64)
        order = np.random.default_rng(seed).permutation(len(examples))
        start = examples[np.resize(order, self.num_pseudo_inputs)]
        if self.constraint != "real":
            start = np.clip(start, _EDGE, 1.0 - _EDGE)
        inputs = ConstrainedParameter(
            tf.constant(start, dtype), self.constraint, name="pseudo_inputs"
        )
        logits = tf.Variable(tf.zeros([self.num_pseudo_inputs], dtype), name="logits")

        # The posterior is held in a closure: its variables belong to the inference network.
        def distribution():
            return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), inference(inputs.value()))

        return Prior(latent_dim, distribution, parts=[logits, inputs])
