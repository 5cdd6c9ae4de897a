"""Deep latent-variable model: prior, likelihood, inference network, gradient estimator.

    ELBO(x) = E_q[log p(x | z) + log p(z) - log q(z | x)] = -D - R
    D = -E_q[log p(x | z)] (distortion),   R = KL(q(z | x) || p(z)) (rate)
    log p(x) >= E[log mean_s p(x, z_s) / q(z_s | x)], non-decreasing in S

References:
  Kingma and Welling (2014); Burda, Grosse and Salakhutdinov (2016); Alemi et al. (2018).
"""

from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import count, observations
from gmmvi_ext.amortized.control_variates import Chain, ControlVariate, RewardContext
from gmmvi_ext.amortized.densities.base import moments
from gmmvi_ext.amortized.estimators import Estimator, Reparameterized
from gmmvi_ext.amortized.estimators.iwae import log_mean_exp
from gmmvi_ext.amortized.inference_model import InferenceModel
from gmmvi_ext.amortized.joint import JointDistribution, Likelihood, draw_observations
from gmmvi_ext.amortized.priors.base import Prior
from gmmvi_ext.amortized.terms import BoundEstimate, BoundTerms, closed_form_rate, draw
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.random import as_seed
from gmmvi_ext.ranges import require_module_name, require_switches
from gmmvi_ext.types import Seed, TensorLike

__all__ = ["BoundReport", "LatentVariableModel", "Loss"]

# Values of the prior -> values of posteriors that stay within them.
POSTERIORS_OVER = {"real": ("real", "unit"), "bits": ("bits",), "one_hot": ("one_hot",)}


class BoundReport(NamedTuple):
    """Figures of a batch from one set of samples, each [*B].

    Attributes:
      elbo: -distortion - rate, exactly.
      distortion: -E_q[log p(x | z)].
      rate: KL(q || p), in closed form where there is one.
      log_prob_estimate: importance-weighted bound of log p(x).

    Example:
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> report = vae.report(x, 10, seed=[0, 1])
        >>> bool(report.log_prob_estimate[0] >= report.elbo[0])  # the tighter bound
        True
    """

    elbo: tf.Tensor
    distortion: tf.Tensor
    rate: tf.Tensor
    log_prob_estimate: tf.Tensor


class Loss(NamedTuple):
    """Means over a batch.

    Attributes:
      loss: scalar to minimize; its gradient estimates that of the negative bound, plus that of the
        control variates' own loss.
      bound: what is maximized, with the weight of the rate.
      distortion, rate: see `BoundReport`.
      control_loss: of the control variates.
      num_decodes: likelihood evaluations of each datum.
    """

    loss: tf.Tensor
    bound: tf.Tensor
    distortion: tf.Tensor
    rate: tf.Tensor
    control_loss: tf.Tensor
    num_decodes: int


class LatentVariableModel(tf.Module):
    """Deep latent-variable model with an amortized posterior.

    Args:
      prior: p(z).
      likelihood: p(x | z).
      inference: q(z | x).
      estimator: of the gradient; chosen once.
      control_variate: acts on score-function terms.

    Raises:
      ValueError: parts that do not go together.

    Example:
        >>> from gmmvi_ext.amortized import build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> x = tf.constant([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])
        >>> report = vae.report(x, 10, seed=[0, 1])
        >>> bool(np.allclose(report.elbo, -report.distortion - report.rate))
        True
    """

    def __init__(
        self,
        prior: Prior,
        likelihood: Likelihood,
        inference: InferenceModel,
        *,
        estimator: Estimator | None = None,
        control_variate: ControlVariate | None = None,
        name: str = "vae",
    ):
        super().__init__(name=require_module_name(name))
        estimator = Reparameterized() if estimator is None else estimator
        is_empty = isinstance(control_variate, Chain) and not control_variate.members
        control_variate = None if is_empty else control_variate
        density = inference.density.rule
        estimator.check(density, is_controlled=control_variate is not None)
        if density.values not in POSTERIORS_OVER[prior.values]:
            fitting, kind = " or ".join(POSTERIORS_OVER[prior.values]), type(density).__name__
            raise ValueError(
                f"`prior` is over {prior.values} vectors, the posterior {kind} over "
                f"{density.values} ones; choose a posterior over {fitting} vectors, or another "
                "prior."
            )
        self.joint = JointDistribution(prior, likelihood)
        self.inference = inference
        self.estimator = estimator
        self.control_variate = control_variate

    @property
    def prior(self) -> Prior:
        return self.joint.prior

    @property
    def likelihood(self) -> Likelihood:
        return self.joint.likelihood

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return self.joint.event_shape

    @property
    def latent_dim(self) -> int:
        """Number of elements of a latent variable."""
        return self.prior.latent_dim

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of a latent variable, [L] for vectors."""
        return self.prior.latent_shape

    @property
    def latent_ndims(self) -> int:
        """Axes of a latent variable."""
        return len(self.latent_shape)

    @property
    def dtype(self) -> tf.DType:
        return self.inference.density.dtype

    def posterior(self, x: tf.Tensor, *, training: bool = False) -> tfd.Distribution:
        """q(z | x), batch shape [*B]; `training` drops out inputs of layers that do."""
        require_switches(training=training)
        return self.inference(observations(x, self.event_shape, self.dtype), training=training)

    def posterior_moments(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and standard deviation of q(z | x), [*B, *latent_shape]; of draws for flows."""
        return moments(self.posterior(x))

    def terms(
        self, x: tf.Tensor, rate_weight: tf.Tensor | float = 1.0, *, training: bool = False
    ) -> BoundTerms:
        """Terms of the bound at x [*B, *event]."""
        require_switches(training=training)
        x = observations(x, self.event_shape, self.dtype)
        return BoundTerms(
            self.posterior(x, training=training),
            self.prior.distribution(),
            lambda z: self.likelihood(z, training=training).log_prob(x),
            rate_weight,
        )

    def sample(
        self,
        batch_size: int,
        seed: Seed = 0,
        *,
        sample_size: int | None = None,
        oversample: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws (z, x) from the model; see `JointDistribution.sample`."""
        return self.joint.sample(batch_size, seed, sample_size=sample_size, oversample=oversample)

    def cond_sample(
        self,
        x: tf.Tensor,
        seed: Seed = 0,
        *,
        sample_size: int | None = None,
        oversample: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws (z, x') with z ~ q(z | x) and x' ~ p(x' | z).

        Args:
          x: [*B, *event].
          seed: int, or a pair of ints.
          sample_size: S; None for a single draw without that axis.
          oversample: draw z once and x' S times; else z is drawn anew each time.
        """
        require_switches(oversample=oversample)
        if sample_size is not None:
            count("sample_size", sample_size)
        first, second = tf.unstack(tf.random.split(as_seed(seed), 2))
        shape = [] if oversample or sample_size is None else [sample_size]
        z = self.posterior(x).sample(shape, seed=first)
        return draw_observations(self.likelihood, z, second, sample_size, oversample)

    def report(self, x: tf.Tensor, num_samples: int, seed: Seed) -> BoundReport:
        """ELBO, distortion, rate and importance-weighted bound from the same samples.

        Args:
          x: [*B, *event].
          num_samples: S.
          seed: int, or a pair of ints.
        """
        count("num_samples", num_samples, minimum=1)
        terms = self.terms(x)
        z = draw(terms.posterior, num_samples, as_seed(seed))
        log_likelihood, log_prior = terms.model_part(z)
        log_posterior = terms.posterior.log_prob(z)
        rate = closed_form_rate(terms)
        if rate is None:
            rate = tf.reduce_mean(log_posterior - log_prior, axis=0)
        distortion = -tf.reduce_mean(log_likelihood, axis=0)
        weighted = log_mean_exp(log_likelihood + log_prior - log_posterior)
        return BoundReport(-distortion - rate, distortion, rate, weighted)

    def elbo(self, x: tf.Tensor, num_samples: int, seed: Seed) -> tf.Tensor:
        """Estimate of the ELBO, [*B]."""
        return self.report(x, num_samples, seed).elbo

    def log_prob_estimate(self, x: tf.Tensor, num_samples: int, seed: Seed) -> tf.Tensor:
        """Importance-weighted lower bound of log p(x), [*B]."""
        return self.report(x, num_samples, seed).log_prob_estimate

    def estimate(
        self,
        x: tf.Tensor,
        seed: Seed,
        *,
        rate_weight: TensorLike = 1.0,
        learn: bool = True,
        training: bool = False,
    ) -> BoundEstimate:
        """Surrogate and figures of a batch by the chosen estimator.

        Args:
          x: [*B, *event].
          seed: int, or a pair of ints.
          rate_weight: beta.
          learn: whether control variates update their running averages.
          training: whether networks are in training mode (dropout).
        """
        require_switches(learn=learn, training=training)
        x = observations(x, self.event_shape, self.dtype)
        rate_weight = to_dtype(rate_weight, self.dtype, "`rate_weight`")
        terms = self.terms(x, rate_weight, training=training)
        first, second = tf.unstack(tf.random.split(as_seed(seed), 2))
        control_variate = self.control_variate
        if control_variate is None:
            return self.estimator(terms, first)

        def fresh_reward(seed):
            return terms.reward(tf.stop_gradient(draw(terms.posterior, 1, seed)))

        context = RewardContext(x, fresh_reward, second, training)
        return self.estimator(terms, first, lambda r: control_variate(r, context, learn=learn))

    def loss(
        self,
        x: tf.Tensor,
        seed: Seed,
        *,
        rate_weight: TensorLike = 1.0,
        learn: bool = True,
        training: bool = False,
    ) -> Loss:
        """Batch means of `estimate`; minimize `loss`."""
        found = self.estimate(x, seed, rate_weight=rate_weight, learn=learn, training=training)
        mean = tf.reduce_mean
        return Loss(
            found.control_loss - mean(found.surrogate),
            mean(found.bound),
            mean(found.distortion),
            mean(found.rate),
            tf.stop_gradient(found.control_loss),
            found.num_decodes,
        )

    def trainable_groups(self) -> dict[str, list[tf.Variable]]:
        """Trainable variables of the generator, the inference network and the control variates."""
        control = () if self.control_variate is None else self.control_variate.trainable_variables
        return {
            "generator": list(self.joint.trainable_variables),
            "inference": list(self.inference.trainable_variables),
            "control": list(control),
        }
