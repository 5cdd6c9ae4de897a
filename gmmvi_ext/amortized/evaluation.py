"""Means of the bound over a data set, in batches of bounded size."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.amortized.checks import checked_data, count
from gmmvi_ext.amortized.execution import in_order
from gmmvi_ext.amortized.model import LatentVariableModel
from gmmvi_ext.math.random import stream
from gmmvi_ext.types import TensorLike

__all__ = ["BoundEvaluator", "EvaluatedBound"]

MAX_DECODES = 20_000  # of one batch: bounds the memory of (samples x data) decoder passes


@dataclasses.dataclass(frozen=True)
class EvaluatedBound:
    """Means over a data set.

    Attributes:
      elbo, distortion, rate: elbo = -distortion - rate, from the same samples.
      elbo_se: standard error of the mean over the data.
      log_prob_estimate: importance-weighted bound.
      num_samples: behind each datum.

    Example:
        >>> from gmmvi_ext.amortized import BoundEvaluator, build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> result = BoundEvaluator(vae, x, num_samples=5)()
        >>> result.num_samples, bool(np.isclose(result.elbo, -result.distortion - result.rate))
        (5, True)
    """

    elbo: float
    elbo_se: float
    distortion: float
    rate: float
    log_prob_estimate: float
    num_samples: int

    def row(self) -> dict[str, float]:
        """Figures of a row of metrics, under names that those of the training step do not have."""
        return {
            "elbo": self.elbo,
            "elbo_se": self.elbo_se,
            "evaluation_distortion": self.distortion,
            "evaluation_rate": self.rate,
            "log_prob_estimate": self.log_prob_estimate,
        }


class BoundEvaluator:
    """Evaluates a VAE on data; its random numbers are its own.

    Args:
      vae: the model.
      x: data [N, *event].
      num_samples: S.
      seed: integer.

    Example:
        >>> from gmmvi_ext.amortized import BoundEvaluator, build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> BoundEvaluator(vae, x, num_samples=5).per_datum().shape
        (4, 1)
    """

    def __init__(
        self, vae: LatentVariableModel, x: TensorLike, *, num_samples: int = 10, seed: int = 0
    ):
        count("num_samples", num_samples, minimum=1)
        x = checked_data(x, vae.event_shape, name="evaluation data")
        self._vae = vae
        self._x = np.asarray(x, vae.dtype.as_numpy_dtype)
        self._num_samples = num_samples
        self._batch = max(1, min(len(x), MAX_DECODES // num_samples))
        self._seed = stream(seed, "vae evaluation")
        signature = (
            tf.TensorSpec([None, *vae.event_shape], vae.dtype),
            tf.TensorSpec([2], tf.int32),
        )
        self._report = tf.function(
            lambda x, seed: tf.stack(vae.report(x, num_samples, seed)),
            input_signature=signature,
            autograph=False,
        ).get_concrete_function()

    def per_datum(self) -> np.ndarray:
        """ELBO, distortion, rate and importance-weighted bound of each datum, [4, N]."""
        pieces = []
        for start in range(0, len(self._x), self._batch):
            seed = tf.random.fold_in(self._seed, start)
            with in_order():
                values = self._report(self._x[start : start + self._batch], seed)
            pieces.append(values.numpy())
        return np.concatenate(pieces, axis=1).astype(np.float64)

    def __call__(self) -> EvaluatedBound:
        """Means over the data."""
        values = self.per_datum()
        elbo, distortion, rate, weighted = values.mean(axis=1)
        error = values[0].std() / math.sqrt(values.shape[1])
        return EvaluatedBound(
            float(elbo),
            float(error),
            float(distortion),
            float(rate),
            float(weighted),
            self._num_samples,
        )
