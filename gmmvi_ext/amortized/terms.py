"""The terms of the bound for one batch, which every gradient estimator works on.

    f(z) = log p(x | z) + beta (log p(z) - log q(z | x))

beta is the weight of the rate: 1 gives the ELBO, less during warm-up.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.types import DTypeLike, TensorLike

__all__ = ["BoundEstimate", "BoundTerms", "RewardControl", "closed_form_rate", "draw"]

# reward [S, *B], log q(z | x)-free: returns the reward to be scored and a loss of its own, scalar.
RewardControl = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class BoundTerms:
    """Posterior, prior and likelihood of a batch with batch shape B.

    Attributes:
      posterior: q(z | x), batch shape B; events are vectors [L], or arrays of another shape.
      prior: p(z), no batch shape.
      log_likelihood: log p(x | z) for z [..., *B, L], gives [..., *B].
      rate_weight: beta, a scalar.

    Example:
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> terms = vae.terms(x)
        >>> z = terms.posterior.sample(3, seed=0)
        >>> terms.reward(z).shape
        TensorShape([3, 1])
    """

    posterior: tfd.Distribution
    prior: tfd.Distribution
    log_likelihood: Callable[[tf.Tensor], tf.Tensor]
    rate_weight: tf.Tensor | float = 1.0

    @property
    def event_ndims(self) -> int:
        """Axes of a latent variable."""
        return len(self.posterior.event_shape)

    def beta(self, dtype: DTypeLike) -> tf.Tensor:
        """The weight of the rate as a tensor."""
        return to_dtype(self.rate_weight, dtype)

    def model_part(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """log p(x | z) and log p(z), [..., *B] each."""
        return self.log_likelihood(z), self.prior.log_prob(z)

    def value(
        self, log_likelihood: TensorLike, log_prior: TensorLike, log_posterior: TensorLike
    ) -> tf.Tensor:
        """f from its three parts."""
        beta = self.beta(log_likelihood.dtype)
        return log_likelihood + beta * (log_prior - log_posterior)

    def reward(self, z: tf.Tensor) -> tf.Tensor:
        """f(z), [..., *B]."""
        return self.value(*self.model_part(z), self.posterior.log_prob(z))


@dataclasses.dataclass(frozen=True)
class BoundEstimate:
    """What an estimator returns.

    Attributes:
      surrogate: [*B]; its gradient estimates the gradient of the bound.
      bound: [*B], estimate of the bound that is maximized, no gradient.
      distortion: [*B], -E_q[log p(x | z)], no gradient.
      rate: [*B], KL(q || p), no gradient.
      control_loss: scalar that trains control variates.
      num_decodes: likelihood evaluations of each datum, a Python number.

    Example:
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> estimate = vae.estimate(x, seed=[0, 1])
        >>> bool(np.allclose(estimate.bound, -estimate.distortion - estimate.rate, atol=1e-4))
        True
    """

    surrogate: tf.Tensor
    bound: tf.Tensor
    distortion: tf.Tensor
    rate: tf.Tensor
    control_loss: tf.Tensor
    num_decodes: int


def draw(distribution: tfd.Distribution, num_samples: int, seed) -> tf.Tensor:
    """Samples [S, *B, L]."""
    return distribution.sample(num_samples, seed=seed)


def closed_form_rate(terms: BoundTerms) -> tf.Tensor | None:
    """KL(q || p) [*B] where TFP knows it, else None; decided while tracing."""
    try:
        return tfd.kl_divergence(terms.posterior, terms.prior)
    except NotImplementedError:
        return None


def finish(
    terms: BoundTerms,
    surrogate,
    log_likelihood,
    log_prior,
    log_posterior,
    *,
    bound=None,
    rate=None,
    control_loss=None,
    num_decodes: int,
) -> BoundEstimate:
    """`BoundEstimate` with the figures that follow from samples [S, *B]; stops their gradients."""
    if rate is None:
        rate = tf.reduce_mean(log_posterior - log_prior, axis=0)
    distortion = -tf.reduce_mean(log_likelihood, axis=0)
    if bound is None:
        bound = -distortion - terms.beta(rate.dtype) * rate
    if control_loss is None:
        control_loss = tf.zeros([], surrogate.dtype)
    return BoundEstimate(
        surrogate,
        tf.stop_gradient(bound),
        tf.stop_gradient(distortion),
        tf.stop_gradient(rate),
        control_loss,
        num_decodes,
    )
