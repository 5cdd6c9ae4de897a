"""Normalizing-flow densities: a Gaussian pushed through conditional affine couplings.

    z = (f_1 o ... o f_n)(eps),  eps ~ N(loc, diag(scale^2)),
    f_i: one half stays, the other is shifted and scaled by a network of that half and a context

Both directions are exact, so that draws and densities at arbitrary points cost the same.

References:
  Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP;
  Rezende and Mohamed (2015), Variational inference with normalizing flows.
"""

import dataclasses
from typing import Annotated

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.densities.base import (
    ConditionalDensity,
    DensityRule,
    moments,
    positive_scale,
)
from gmmvi_ext.amortized.networks.base import Network, dense
from gmmvi_ext.amortized.roles import DENSITIES
from gmmvi_ext.ranges import POSITIVE, Range, check_ranges, require
from gmmvi_ext.types import DTypeLike

__all__ = ["CouplingFlow", "Flow"]

MAX_LOG_SCALE = 2.0  # of one coupling; keeps the inverse well conditioned in float32


class CouplingFlow(tf.Module):
    """Couplings over vectors of length L with an optional context.

    Args:
      num_dimensions: L, at least 2.
      num_couplings: number of couplings; the halves alternate.
      hidden_units: of the one hidden layer of each coupling network.
      context_size: length of the context vector; 0 for none.
      seed: of the initial weights.
    """

    def __init__(
        self,
        num_dimensions: int,
        *,
        num_couplings: int,
        hidden_units: int,
        context_size: Annotated[int, Range(1)] = 0,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
        name: str = "flow",
    ):
        super().__init__(name=name)
        require(num_dimensions >= 2, "latent_dim", "at least 2 for a flow", num_dimensions)
        self.context_size = context_size
        self._sizes = (num_dimensions // 2, num_dimensions - num_dimensions // 2)
        self.couplings = []
        for number in range(num_couplings):
            kept, moved = self._sizes[:: 1 if number % 2 == 0 else -1]
            layers = dense(
                hidden_units, seed=seed + 2 * number, dtype=dtype, activation="tanh", name="hidden"
            ) + dense(2 * moved, seed=seed + 2 * number + 1, dtype=dtype, name="output")
            self.couplings.append(
                Network(
                    layers,
                    (kept + context_size,),
                    (2, moved),
                    dtype=dtype,
                    name=f"coupling_{number}",
                )
            )

    def bijector(self, context: tf.Tensor | None = None) -> tfb.Bijector:
        """Map from noise to values for a context [..., context_size]."""
        # The first half is kept by even couplings, the last one by odd ones.
        steps = [
            tfb.RealNVP(
                num_masked=self._sizes[0] if number % 2 == 0 else -self._sizes[1],
                shift_and_log_scale_fn=_conditioned(network, context),
            )
            for number, network in enumerate(self.couplings)
        ]
        return tfb.Chain(steps if context is None else [_Broadcast(context), *steps])


class _Broadcast(tfb.Bijector):
    """The identity, which gives values the batch axes of the context on their way back.

    Couplings put halves side by side again, so that both need all axes.
    """

    def __init__(self, context: tf.Tensor):
        super().__init__(forward_min_event_ndims=1, is_constant_jacobian=True, name="broadcast")
        self._context = context

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        return x

    def _inverse(self, y):
        batch, own = (tf.shape(each)[:-1] for each in (self._context, y))
        shape = tf.concat([tf.broadcast_dynamic_shape(batch, own), tf.shape(y)[-1:]], axis=0)
        static = tf.broadcast_static_shape(self._context.shape[:-1], y.shape[:-1])
        return tf.ensure_shape(tf.broadcast_to(y, shape), static.concatenate(y.shape[-1:]))

    def _forward_log_det_jacobian(self, x):
        return tf.zeros([], x.dtype)


def _conditioned(network: Network, context: tf.Tensor | None):
    def shift_and_log_scale(kept, _units):
        if context is not None:
            shape = tf.concat([tf.shape(kept)[:-1], tf.shape(context)[-1:]], axis=0)
            static = kept.shape[:-1].concatenate(context.shape[-1:])
            wide = tf.ensure_shape(tf.broadcast_to(context, shape), static)
            kept = tf.concat([kept, wide], axis=-1)
        out = network(kept)
        return out[..., 0, :], MAX_LOG_SCALE * tf.tanh(out[..., 1, :] / MAX_LOG_SCALE)

    return shift_and_log_scale


@DENSITIES.register("flow")
@dataclasses.dataclass(frozen=True)
class Flow(DensityRule):
    """Gaussian pushed through couplings; raw parameters [..., 2 L + context_size].

    Attributes:
      num_couplings: couplings; two of them move every coordinate once.
      hidden_units: of each coupling network.
      context_size: numbers the encoder hands to the couplings.
      min_scale: floor of the standard deviations of the Gaussian.
    """

    num_couplings: Annotated[int, Range(1)] = 4
    hidden_units: Annotated[int, Range(1)] = 64
    context_size: Annotated[int, Range(1)] = 32
    min_scale: Annotated[float, POSITIVE] = 1e-4

    def __post_init__(self):
        check_ranges(self)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        require(len(event_shape) == 1, "event_shape", "a vector for a flow", event_shape)
        return (2 * event_shape[0] + self.context_size,)

    def mean(self, distribution: tfd.Distribution) -> tf.Tensor:
        """Mean of draws."""
        return moments(distribution)[0]

    def build(
        self, event_shape: tuple[int, ...], *, seed: int = 0, dtype: DTypeLike = tf.float32
    ) -> "ConditionalDensity":
        return _FlowDensity(self, event_shape, seed=seed, dtype=dtype)


class _FlowDensity(ConditionalDensity):
    """A `Flow` with its coupling networks."""

    def __init__(self, rule: Flow, event_shape, *, seed: int, dtype):
        super().__init__(rule, event_shape, dtype=dtype)
        self.flow = CouplingFlow(
            event_shape[0],
            num_couplings=rule.num_couplings,
            hidden_units=rule.hidden_units,
            context_size=rule.context_size,
            seed=seed,
            dtype=dtype,
        )

    def __call__(self, outputs):
        size = self.event_shape[0]
        scale = positive_scale(outputs[..., size : 2 * size], self.rule.min_scale)
        base = tfd.Independent(tfd.Normal(outputs[..., :size], scale), 1)
        return tfd.TransformedDistribution(base, self.flow.bijector(outputs[..., 2 * size :]))
