"""A Gaussian mixture held in variables, so that it can be trained, checkpointed and exported."""

import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures

__all__ = ["Gmm"]


class Gmm(tf.Module):
    """Variables of a mixture; the number of components is open (`shape=[None, ...]`).

    Args:
      mixture: initial value; its family (full or diagonal covariance) is kept for life.
    """

    def __init__(self, mixture: Mixture, *, name: str | None = None):
        super().__init__(name=name)
        dim = mixture.num_dimensions
        self.log_weights = _open_variable(mixture.log_weights, [None], "log_weights")
        self.loc = _open_variable(mixture.components.loc, [None, dim], "loc")
        if isinstance(mixture.components, DiagonalGaussians):
            self.scale_diag = _open_variable(
                mixture.components.scale_diag, [None, dim], "scale_diag"
            )
        else:
            self.scale_tril = _open_variable(
                mixture.components.scale_tril, [None, dim, dim], "scale_tril"
            )

    @property
    def is_diagonal(self) -> bool:
        return hasattr(self, "scale_diag")

    @property
    def num_dimensions(self) -> int:
        return self.loc.shape[-1]

    @property
    def num_components(self) -> tf.Tensor:
        return tf.shape(self.log_weights)[0]

    @property
    def dtype(self) -> tf.DType:
        return self.loc.dtype

    def mixture(self) -> Mixture:
        """The current value."""
        loc = self.loc.read_value()
        if self.is_diagonal:
            components = DiagonalGaussians(loc, self.scale_diag.read_value())
        else:
            components = FullGaussians(loc, self.scale_tril.read_value())
        return Mixture(self.log_weights.read_value(), components)

    def assign(self, mixture: Mixture) -> None:
        """Replaces the value; the number of components may differ, the family may not."""
        self.log_weights.assign(mixture.log_weights)
        self.loc.assign(mixture.components.loc)
        if self.is_diagonal:
            self.scale_diag.assign(mixture.components.scale_diag)
        else:
            self.scale_tril.assign(mixture.components.scale_tril)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log q(x_n), [N]."""
        return mixtures.log_prob(self.mixture(), x)

    def sample(self, num_samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws [num_samples, D]."""
        return mixtures.sample(self.mixture(), num_samples, seed)[0]


def _open_variable(value: tf.Tensor, shape: list, name: str) -> tf.Variable:
    return tf.Variable(value, shape=tf.TensorShape(shape), name=name, trainable=False)
