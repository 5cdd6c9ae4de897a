"""Joint distribution of latent variables and data.

p(z, x) = p(z) p(x | z),     p(x | z) a conditional density of a decoder's outputs
"""

from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import count, observations, require_rank
from gmmvi_ext.amortized.densities.base import ConditionalDensity
from gmmvi_ext.amortized.networks.base import Network
from gmmvi_ext.amortized.priors.base import Prior
from gmmvi_ext.lazy import former_names
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.random import as_seed
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.types import Seed

__all__ = ["EnumerateFn", "JointDistribution", "Likelihood"]

__getattr__ = former_names(__name__, {"Observation": "Likelihood"})

EnumerateFn = Callable[[], tf.Tensor]  # all values of a latent variable, [V, *latent_shape]


class Likelihood(tf.Module):
    """p(x | z): decoder and conditional density.

    Args:
      decoder: [..., *latent_shape] -> [..., *density.output_shape].
      density: over data.

    Example:
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> vae.likelihood(tf.zeros([4, 2])).batch_shape
        TensorShape([4])
        >>> vae.likelihood.mean(tf.zeros([4, 2])).shape
        TensorShape([4, 6])
    """

    def __init__(self, decoder: Network, density: ConditionalDensity):
        super().__init__(name="likelihood")
        self.decoder = decoder
        self.density = density

    def __call__(self, z: tf.Tensor, *, training: bool = False) -> tfd.Distribution:
        """p(x | z), batch shape [...] for z [..., *latent_shape]."""
        return self.density(self.decoder(z, training=training))

    def mean(self, z: tf.Tensor) -> tf.Tensor:
        """E[x | z], [..., *event]."""
        return self.density.mean(self.decoder(z))


class JointDistribution(tf.Module):
    """p(z, x).

    Args:
      prior: over latent variables.
      likelihood: over data given a latent variable.

    Example:
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> joint = vae.joint
        >>> z, new = joint.sample(5, seed=[0, 1])
        >>> joint.log_prob(new, z).shape
        TensorShape([5])
    """

    def __init__(self, prior: Prior, likelihood: Likelihood):
        super().__init__(name="joint")
        self.prior = prior
        self.likelihood = likelihood

    def _data(self, x) -> tf.Tensor:
        return observations(x, self.event_shape, self.likelihood.density.dtype)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return self.likelihood.density.event_shape

    def sample(
        self,
        batch_size: int,
        seed: Seed,
        *,
        sample_size: int | None = None,
        oversample: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws from the joint distribution.

        Args:
          batch_size: B.
          seed: int, or a pair of ints.
          sample_size: S; None for a single draw without that axis.
          oversample: draw each z once and x S times; else z is drawn anew each time.

        Returns:
          z [B, *latent_shape] or [S, B, *latent_shape], and x [B, *event] or [S, B, *event].
        """
        require_switches(oversample=oversample)
        count("batch_size", batch_size)
        if sample_size is not None:
            count("sample_size", sample_size)
        first, second = tf.unstack(tf.random.split(as_seed(seed), 2))
        shape = [batch_size] if oversample or sample_size is None else [sample_size, batch_size]
        z = self.prior.distribution().sample(shape, seed=first)
        return draw_observations(self.likelihood, z, second, sample_size, oversample)

    def log_prob(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """log p(z, x); the leading axes of x and z broadcast."""
        x, z = self._data(x), to_dtype(z, self.likelihood.density.dtype, "`z`")
        require_rank("z", z, self.prior.latent_shape)
        return self.prior.distribution().log_prob(z) + self.likelihood(z).log_prob(x)

    def log_marginal(self, x: tf.Tensor, enumerate_fn: EnumerateFn | None = None) -> tf.Tensor:
        """log p(x) [...] by enumeration of a discrete latent variable.

        Args:
          x: [..., *event].
          enumerate_fn: gives all values [V, *latent_shape]; None takes those of the prior.
        """
        return tf.reduce_logsumexp(self._enumerated(x, enumerate_fn), axis=0)

    def posterior_log_probs(
        self, x: tf.Tensor, enumerate_fn: EnumerateFn | None = None
    ) -> tf.Tensor:
        """log p(z | x) of every value of a discrete latent variable, [..., V].

        Args:
          x, enumerate_fn: as for `log_marginal`.
        """
        table = tf.nn.log_softmax(self._enumerated(x, enumerate_fn), axis=0)
        rank = table.shape.rank
        return tf.transpose(table, [*range(1, rank), 0])

    def naive_bound(self, x: tf.Tensor, num_samples: int, seed: Seed) -> tf.Tensor:
        """mean_s log p(x | z_s) with z_s ~ p(z): a lower bound of log p(x), a loose one, [...]."""
        x = self._data(x)
        count("num_samples", num_samples, minimum=1)
        rank = x.shape.rank - len(self.event_shape)
        z = self.prior.distribution().sample(num_samples, seed=as_seed(seed))
        z = tf.reshape(z, [num_samples, *[1] * rank, *self.prior.latent_shape])
        return tf.reduce_mean(self.likelihood(z).log_prob(x), axis=0)

    def _enumerated(self, x: tf.Tensor, enumerate_fn: EnumerateFn | None) -> tf.Tensor:
        """log p(z_v, x) for every value, [V, ...]."""
        support = self.prior.support if enumerate_fn is None else enumerate_fn()
        if support is None or support.shape[0] == 0:
            raise ValueError(
                "the latent variable cannot be enumerated: it is continuous or has too many "
                "values; use `log_prob_estimate` of a VAE, or give `enumerate_fn`."
            )
        require_rank("values of enumerate_fn", support, self.prior.latent_shape)
        x = self._data(x)
        rank = x.shape.rank - len(self.event_shape)
        z = tf.reshape(support, [support.shape[0], *[1] * rank, *self.prior.latent_shape])
        return self.log_prob(x, z)


def draw_observations(likelihood, z, seed, sample_size: int | None, oversample: bool):
    """z and x given z; with `oversample`, `sample_size` times for each z, S leading."""
    x = likelihood(z)
    if oversample and sample_size is not None:
        draws = x.sample(sample_size, seed=seed)
        wide = tf.concat([[sample_size], tf.shape(z)], axis=0)
        return tf.broadcast_to(z, wide), draws
    return z, x.sample(seed=seed)
