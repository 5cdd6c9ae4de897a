"""Joint distribution of latent vectors and data.

p(z, x) = p(z) p(x | z),     p(x | z) a conditional density of a decoder's outputs
"""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import observations
from gmmvi_ext.amortized.densities.base import ConditionalDensity
from gmmvi_ext.amortized.networks.base import Network
from gmmvi_ext.amortized.priors.base import Prior

__all__ = ["JointDistribution", "Observation"]


class Observation(tf.Module):
    """p(x | z): decoder and conditional density.

    Args:
      decoder: [..., L] -> [..., *density.output_shape].
      density: over data.
    """

    def __init__(self, decoder: Network, density: ConditionalDensity):
        super().__init__(name="observation")
        self.decoder = decoder
        self.density = density

    def __call__(self, z: tf.Tensor) -> tfd.Distribution:
        """p(x | z), batch shape [...] for z [..., L]."""
        return self.density(self.decoder(z))

    def mean(self, z: tf.Tensor) -> tf.Tensor:
        """E[x | z], [..., *event]."""
        return self.density.mean(self.decoder(z))


class JointDistribution(tf.Module):
    """p(z, x).

    Args:
      prior: over latent vectors.
      observation: over data given a latent vector.
    """

    def __init__(self, prior: Prior, observation: Observation):
        super().__init__(name="joint")
        self.prior = prior
        self.observation = observation

    def _data(self, x) -> tf.Tensor:
        return observations(x, self.event_shape, self.observation.density.dtype)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return self.observation.density.event_shape

    def sample(
        self, batch_size: int, seed, *, sample_size: int | None = None, oversample: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws from the joint distribution.

        Args:
          batch_size: B.
          seed: stateless, [2].
          sample_size: S; None for a single draw without that axis.
          oversample: draw each z once and x S times; else z is drawn anew each time.

        Returns:
          z [B, L] or [S, B, L], and x [B, *event] or [S, B, *event].
        """
        first, second = tf.unstack(tf.random.split(seed, 2))
        shape = [batch_size] if oversample or sample_size is None else [sample_size, batch_size]
        z = self.prior.distribution().sample(shape, seed=first)
        return draw_observations(self.observation, z, second, sample_size, oversample)

    def log_prob(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """log p(z, x); the leading axes of x and z broadcast."""
        x, z = self._data(x), tf.cast(z, self.observation.density.dtype)
        return self.prior.distribution().log_prob(z) + self.observation(z).log_prob(x)

    def log_marginal(self, x: tf.Tensor) -> tf.Tensor:
        """log p(x) [...] by enumeration of a discrete latent vector."""
        return tf.reduce_logsumexp(self._enumerated(x), axis=0)

    def posterior_log_probs(self, x: tf.Tensor) -> tf.Tensor:
        """log p(z | x) of every value of a discrete latent vector, [..., V]."""
        table = tf.nn.log_softmax(self._enumerated(x), axis=0)
        rank = table.shape.rank
        return tf.transpose(table, [*range(1, rank), 0])

    def naive_bound(self, x: tf.Tensor, num_samples: int, seed) -> tf.Tensor:
        """mean_s log p(x | z_s) with z_s ~ p(z): a lower bound of log p(x), a loose one, [...]."""
        x = self._data(x)
        rank = x.shape.rank - len(self.event_shape)
        z = self.prior.distribution().sample(num_samples, seed=seed)
        z = tf.reshape(z, [num_samples, *[1] * rank, self.prior.num_latents])
        return tf.reduce_mean(self.observation(z).log_prob(x), axis=0)

    def _enumerated(self, x: tf.Tensor) -> tf.Tensor:
        """log p(z_v, x) for every value, [V, ...]."""
        support = self.prior.support
        if support is None or support.shape[0] == 0:
            raise ValueError(
                "the latent vector cannot be enumerated: it is continuous or has too many values; "
                "use `log_prob_estimate` of a VAE."
            )
        x = self._data(x)
        rank = x.shape.rank - len(self.event_shape)
        z = tf.reshape(support, [support.shape[0], *[1] * rank, support.shape[1]])
        return self.log_prob(x, z)


def draw_observations(observation, z, seed, sample_size: int | None, oversample: bool):
    """x given z [..., L]; with `oversample`, `sample_size` times for each z, S leading."""
    x = observation(z)
    if oversample and sample_size is not None:
        draws = x.sample(sample_size, seed=seed)
        wide = tf.concat([[sample_size], tf.shape(z)], axis=0)
        return tf.broadcast_to(z, wide), draws
    return z, x.sample(seed=seed)
