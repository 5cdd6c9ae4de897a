"""The mixture in the unconstrained space, as an object with methods."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior.importance.draws import sample_mixture
from gmmvi_ext.types import Seed, TensorLike

__all__ = ["UnconstrainedMixture"]


class UnconstrainedMixture:
    """View of a `Mixture`: `log_weights`, `loc`, `scale_tril`, densities, draws.

    Args:
      mixture: the mixture.

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
        >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
        >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
        >>> mixture = posterior.unconstrained
        >>> print(mixture.loc.numpy().tolist())
        [[-5.0], [5.0]]
        >>> print(mixture.component_log_prob([[5.0]]).numpy().round(2))
        [[-50.92  -0.92]]
    """

    def __init__(self, mixture: Mixture):
        self.mixture = mixture

    @property
    def log_weights(self) -> tf.Tensor:
        """Normalized log weights, [K]."""
        return self.mixture.log_weights

    @property
    def loc(self) -> tf.Tensor:
        """Component means, [K, D]."""
        return self.mixture.components.loc

    @property
    def scale_tril(self) -> tf.Tensor:
        """Cholesky factors of the covariances, [K, D, D]; diagonal ones for a diagonal family."""
        components = self.mixture.components
        if isinstance(components, FullGaussians):
            return components.scale_tril
        if isinstance(components, DiagonalGaussians):
            return tf.linalg.diag(components.scale_diag)
        return tf.linalg.cholesky(mixtures.component_covariances(components))

    def log_prob(self, x: TensorLike) -> tf.Tensor:
        """Log density at unconstrained points [N, D], [N]."""
        return mixtures.log_prob(self.mixture, tf.convert_to_tensor(x, self.mixture.dtype))

    def component_log_prob(self, x: TensorLike) -> tf.Tensor:
        """Log density of every component, [N, K]."""
        x = tf.convert_to_tensor(x, self.mixture.dtype)
        return mixtures.component_log_prob(self.mixture.components, x)

    def sample(self, num_samples: int, seed: Seed = 0) -> np.ndarray:
        """Draws, [num_samples, D]."""
        return sample_mixture(self.mixture, num_samples, seed)[0]
