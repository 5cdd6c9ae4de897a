"""A Gaussian mixture held in variables, so that it can be trained, checkpointed and exported."""

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures

__all__ = ["Gmm"]


class Gmm(tf.Module):
    """Variables of a mixture; the number of components is open (`shape=[None, ...]`).

    Args:
      mixture: initial value; its family (full, diagonal, low-rank covariance) is kept for life.
    """

    def __init__(self, mixture: Mixture, *, name: str | None = None):
        super().__init__(name=name)
        self._family = type(mixture.components)
        self.log_weights = _open_variable(mixture.log_weights, [None], "log_weights")
        # One variable for each parameter, under its name: `loc`, `scale_tril` and so on.
        for name, value in mixture.components._asdict().items():
            setattr(self, name, _open_variable(value, [None, *value.shape[1:]], name))

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
        values = (getattr(self, name).read_value() for name in self._family._fields)
        return Mixture(self.log_weights.read_value(), self._family(*values))

    def assign(self, mixture: Mixture) -> None:
        """Replaces the value; the number of components may differ, the family may not."""
        self.log_weights.assign(mixture.log_weights)
        for name, value in mixture.components._asdict().items():
            getattr(self, name).assign(value)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log q(x_n), [N]."""
        return mixtures.log_prob(self.mixture(), x)

    def sample(self, num_samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws [num_samples, D]."""
        return mixtures.sample(self.mixture(), num_samples, seed)[0]


def _open_variable(value: tf.Tensor, shape: list, name: str) -> tf.Variable:
    return tf.Variable(value, shape=tf.TensorShape(shape), name=name, trainable=False)
