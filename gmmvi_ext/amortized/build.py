"""A VAE from rules: the parts are built in order and fitted to each other."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.amortized.control_variates.chain import build_chain
from gmmvi_ext.amortized.densities import DensityRule
from gmmvi_ext.amortized.estimators import Estimator
from gmmvi_ext.amortized.inference_model import InferenceModel
from gmmvi_ext.amortized.joint import Likelihood
from gmmvi_ext.amortized.learning import History
from gmmvi_ext.amortized.priors import PriorRule
from gmmvi_ext.amortized.settings import VaeSettings
from gmmvi_ext.amortized.storage import read_folder, restore
from gmmvi_ext.amortized.vae import VAE
from gmmvi_ext.math.casting import floating_dtype
from gmmvi_ext.ranges import checked
from gmmvi_ext.types import DTypeLike, TensorLike

__all__ = ["build_vae", "load_vae"]

_STRIDE = 1000  # between the seeds of the parts


@checked
def build_vae(
    event_shape: Sequence[int],
    latent_dim: int | Sequence[int] | None = None,
    *,
    prior: PriorRule | str | None = None,
    posterior: DensityRule | str | None = None,
    likelihood: DensityRule | str | None = None,
    encoder: Any = None,
    decoder: Any = None,
    estimator: Estimator | str | None = None,
    control_variates: Sequence[str] = (),
    control_decay: float = 0.9,
    baseline_hidden: Sequence[int] = (100,),
    baseline_dropout: float = 0.0,
    posterior_hidden: Sequence[int] = (),
    examples: TensorLike | None = None,
    seed: int = 0,
    dtype: DTypeLike = tf.float32,
    num_latents: int | None = None,
) -> VAE:
    """A VAE for data of one shape. Rules may be given by their registered names.

    Args:
      event_shape: of one datum; images are [height, width, channels].
      latent_dim: length of the latent vector, or shape of a latent array.
      prior: default: standard normal.
      posterior: default: Gaussian.
      likelihood: default: Bernoulli.
      encoder, decoder: default: feed-forward with one hidden layer of 128.
      estimator: default: reparameterized.
      control_variates: names, in the order they act in.
      control_decay: of their running averages.
      baseline_hidden: hidden layers of an input-dependent baseline.
      baseline_dropout: its dropout.
      posterior_hidden: hidden layers between encoder and the linear head of the posterior.
      examples: some data, for priors that start at data.
      seed: of all initial values.
      dtype: floating dtype.
      num_latents: former name of `latent_dim`.

    Raises:
      ValueError: parts that do not go together; the message names the setting.

    Example:
        >>> from gmmvi_ext.amortized import build_vae, priors
        >>> vae = build_vae((6,), latent_dim=2, prior=priors.MixturePrior(3))
        >>> z, x = vae.sample(5, seed=[0, 1])
        >>> z.shape, x.shape
        (TensorShape([5, 2]), TensorShape([5, 6]))
    """
    if num_latents is not None:
        warnings.warn("`num_latents` is now `latent_dim`.", FutureWarning, stacklevel=2)
        latent_dim = num_latents if latent_dim is None else latent_dim
    if latent_dim is None:
        raise ValueError("`latent_dim` is missing: the length of the latent vector, 8 for example.")
    settings = VaeSettings(
        event_shape,  # type: ignore[arg-type]
        latent_dim,  # type: ignore[arg-type]
        prior=prior,
        posterior=posterior,
        likelihood=likelihood,
        encoder=encoder,
        decoder=decoder,
        estimator=estimator,
        control_variates=control_variates,  # type: ignore[arg-type]
        control_decay=control_decay,
        baseline_hidden=baseline_hidden,  # type: ignore[arg-type]
        baseline_dropout=baseline_dropout,
        posterior_hidden=posterior_hidden,  # type: ignore[arg-type]
        seed=seed,
        dtype=floating_dtype(dtype).name,
    )
    return _built(settings, examples)


def load_vae(path: str | Path) -> VAE:
    """The model that `VAE.save` wrote, with its history.

    Raises:
      FileNotFoundError: there is none.
      ValueError: files that are damaged or do not belong together.

    Example:
        >>> from gmmvi_ext.amortized import build_vae, load_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> path = vae.save("vae")
        >>> x = tf.ones([1, 6])
        >>> again = load_vae("vae")
        >>> bool(np.allclose(again.posterior(x).mean(), vae.posterior(x).mean()))
        True
    """
    settings, rows, arrays = read_folder(path)
    vae = _built(settings, np.zeros((1, *settings.event_shape)))
    restore(vae.variables, arrays, str(path))
    vae.history = History(rows) if rows else None
    return vae


def _built(settings: VaeSettings, examples) -> VAE:
    seeds = [_STRIDE * (10 * settings.seed + number) for number in range(5)]
    event_shape, latent, dtype = settings.event_shape, settings.latent_dim, settings.dtype
    inference = InferenceModel(
        settings.encoder.build(event_shape, seed=seeds[0], dtype=dtype),
        settings.posterior,
        latent,
        hidden=settings.posterior_hidden,
        dropout=getattr(settings.encoder, "dropout", 0.0),
        seed=seeds[1],
        dtype=dtype,
    )
    density = settings.likelihood.build(event_shape, seed=seeds[2], dtype=dtype)
    network = settings.decoder.build(latent, density.output_shape, seed=seeds[2], dtype=dtype)
    prior = settings.prior.build(
        latent, inference=inference, examples=examples, seed=seeds[3], dtype=dtype
    )
    control = build_chain(
        settings.control_variates,
        event_shape,
        decay=settings.control_decay,
        hidden=settings.baseline_hidden,
        dropout=settings.baseline_dropout,
        seed=seeds[4],
        dtype=dtype,
    )
    vae = VAE(
        prior,
        Likelihood(network, density),
        inference,
        estimator=settings.estimator,
        control_variate=control,
    )
    vae.settings = settings
    return vae
