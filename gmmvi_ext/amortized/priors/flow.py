"""A standard normal pushed through trainable couplings (see `densities.flow`)."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import latent_shape
from gmmvi_ext.amortized.densities.flow import CouplingFlow
from gmmvi_ext.amortized.priors.base import Prior, PriorRule
from gmmvi_ext.amortized.priors.standard_normal import standard_normal
from gmmvi_ext.amortized.roles import PRIORS
from gmmvi_ext.ranges import Range, check_ranges, require
from gmmvi_ext.types import DTypeLike, TensorLike

__all__ = ["FlowPrior"]


@PRIORS.register("flow")
@dataclasses.dataclass(frozen=True)
class FlowPrior(PriorRule):
    """Normalizing-flow prior.

    Attributes:
      num_couplings: affine couplings; two of them move every coordinate once.
      hidden_units: of each coupling network.
    """

    num_couplings: Annotated[int, Range(1)] = 4
    hidden_units: Annotated[int, Range(1)] = 64

    def __post_init__(self):
        check_ranges(self)

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
        require(len(shape) == 1, "latent_dim", "a length: a flow is over vectors", latent_dim)
        flow = CouplingFlow(
            shape[0],
            num_couplings=self.num_couplings,
            hidden_units=self.hidden_units,
            seed=seed,
            dtype=dtype,
        )

        def distribution():
            base = standard_normal(latent_dim, dtype)
            return tfd.TransformedDistribution(base, flow.bijector())

        return Prior(latent_dim, distribution, parts=[flow])
