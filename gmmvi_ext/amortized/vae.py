"""Variational auto-encoder: a latent-variable model that trains, saves and describes itself.

vae = build_vae(x.shape[1:], 8)
vae.fit(x)
vae.save("my_vae");  vae = load_vae("my_vae")
"""

import warnings
from pathlib import Path
from typing import Any

import tensorflow as tf

from gmmvi_ext.amortized.checks import observations, require_rank
from gmmvi_ext.amortized.describe import described
from gmmvi_ext.amortized.evaluation import BoundEvaluator, EvaluatedBound
from gmmvi_ext.amortized.learning import History, fit_model
from gmmvi_ext.amortized.model import LatentVariableModel
from gmmvi_ext.amortized.settings import VaeSettings
from gmmvi_ext.amortized.storage import write_folder
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.types import TensorLike

__all__ = ["VAE"]


class VAE(LatentVariableModel):
    """A `LatentVariableModel` as users hold it; `str()` lists its parts and layers.

    Attributes:
      settings: what `build_vae` made it from; None where its parts were put together by hand.
      history: figures of the last `fit`, None before.

    Example:
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> vae.posterior(x).event_shape
        TensorShape([2])
        >>> z, new = vae.sample(5, seed=[0, 1])
        >>> z.shape, new.shape
        (TensorShape([5, 2]), TensorShape([5, 6]))
    """

    settings: VaeSettings | None = None
    history: History | None = None

    def fit(self, x: TensorLike, **settings: Any) -> History:
        """Trains on data [N, *event]; arguments as `fit_model`.

        `num_steps` or `num_epochs`, `batch_size`, `dev` and `patience` for held-out data,
        `optimizers`, `objective`, `seed`.
        """
        self.history = fit_model(self, x, **settings)
        return self.history

    def evaluate(self, x: TensorLike, *, num_samples: int = 100, seed: int = 0) -> EvaluatedBound:
        """Mean ELBO, distortion, rate and importance-weighted bound of data [N, *event]."""
        return BoundEvaluator(self, x, num_samples=num_samples, seed=seed)()

    def encode(self, x: TensorLike) -> tf.Tensor:
        """Means of q(z | x), [*B, *latent_shape] for x [*B, *event]."""
        return self.posterior_moments(x)[0]

    def decode(self, z: TensorLike) -> tf.Tensor:
        """Means of p(x | z), [*B, *event] for z [*B, *latent_shape]."""
        z = to_dtype(z, self.dtype, "`z`")
        require_rank("z", z, self.latent_shape)
        return self.likelihood.mean(z)

    def reconstruct(self, x: TensorLike) -> tf.Tensor:
        """Means of p(x | z) at the mean of q(z | x), [*B, *event]."""
        return self.decode(self.encode(observations(x, self.event_shape, self.dtype)))

    def save(self, path: str | Path) -> Path:
        """Writes a folder that `load_vae` reads: settings, numbers and history, no code.

        Raises:
          FileExistsError: `path` holds something else than a saved VAE.
          ValueError: the model was not made by `build_vae`, or by rules without a name.
        """
        if self.settings is None:
            raise ValueError(
                "the parts of this model were put together by hand, and a file cannot say how; "
                "make it with `build_vae`, or keep its variables by tf.train.Checkpoint(vae=vae)."
            )
        rows = [] if self.history is None else self.history.rows
        return write_folder(path, self.settings, self.variables, rows)

    def __str__(self) -> str:
        return described(self)

    @property
    def observation(self) -> Any:
        """Former name of `likelihood`."""
        warnings.warn("`VAE.observation` is now `VAE.likelihood`.", FutureWarning, stacklevel=2)
        return self.likelihood

    @property
    def num_latents(self) -> int:
        """Former name of `latent_dim`."""
        warnings.warn("`VAE.num_latents` is now `VAE.latent_dim`.", FutureWarning, stacklevel=2)
        return self.latent_dim
