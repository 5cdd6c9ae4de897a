"""A VAE from rules: the parts are built in order and fitted to each other."""

from collections.abc import Sequence

import tensorflow as tf

from gmmvi_ext.amortized.control_variates.chain import build_chain
from gmmvi_ext.amortized.densities import Bernoulli, DensityRule, Gaussian
from gmmvi_ext.amortized.estimators import Estimator, Reparameterised
from gmmvi_ext.amortized.inference_model import InferenceModel
from gmmvi_ext.amortized.joint import Observation
from gmmvi_ext.amortized.networks import FeedForwardDecoder, FeedForwardEncoder
from gmmvi_ext.amortized.priors import PriorRule, StandardNormalPrior
from gmmvi_ext.amortized.vae import VAE
from gmmvi_ext.ranges import require

__all__ = ["build_vae"]

_STRIDE = 1000  # between the seeds of the parts


def build_vae(
    event_shape: Sequence[int],
    num_latents: int,
    *,
    prior: PriorRule | None = None,
    posterior: DensityRule | None = None,
    likelihood: DensityRule | None = None,
    encoder=None,
    decoder=None,
    estimator: Estimator | None = None,
    control_variates: Sequence[str] = (),
    control_decay: float = 0.9,
    baseline_hidden: Sequence[int] = (100,),
    examples=None,
    seed: int = 0,
    dtype=tf.float32,
) -> VAE:
    """A VAE for data of one shape.

    Args:
      event_shape: of one datum; images are [height, width, channels].
      num_latents: L.
      prior: default: standard normal.
      posterior: default: Gaussian.
      likelihood: default: Bernoulli.
      encoder, decoder: default: feed-forward with one hidden layer of 128.
      estimator: default: reparameterised.
      control_variates: names, in the order they act in.
      control_decay: of their running averages.
      baseline_hidden: hidden layers of an input-dependent baseline.
      examples: some data, for priors that start at data.
      seed: of all initial values.
      dtype: floating dtype.

    Raises:
      ValueError: parts that do not go together; the message names the setting.
    """
    event_shape = tuple(int(size) for size in event_shape)
    is_shape = len(event_shape) > 0 and min(event_shape) >= 1
    require(is_shape, "event_shape", "at least one positive size", event_shape)
    require(num_latents >= 1, "num_latents", "at least 1", num_latents)
    prior = prior or StandardNormalPrior()
    posterior, likelihood = posterior or Gaussian(), likelihood or Bernoulli()
    encoder, decoder = encoder or FeedForwardEncoder(), decoder or FeedForwardDecoder()
    seeds = [_STRIDE * (10 * seed + number) for number in range(5)]
    inference = InferenceModel(
        encoder.build(event_shape, seed=seeds[0], dtype=dtype),
        posterior,
        num_latents,
        seed=seeds[1],
        dtype=dtype,
    )
    density = likelihood.build(event_shape, seed=seeds[2], dtype=dtype)
    network = decoder.build(num_latents, density.output_shape, seed=seeds[2], dtype=dtype)
    latent_prior = prior.build(
        num_latents, inference=inference, examples=examples, seed=seeds[3], dtype=dtype
    )
    control = build_chain(
        control_variates,
        event_shape,
        decay=control_decay,
        hidden=baseline_hidden,
        seed=seeds[4],
        dtype=dtype,
    )
    return VAE(
        latent_prior,
        Observation(network, density),
        inference,
        estimator=estimator or Reparameterised(),
        control_variate=control,
    )
