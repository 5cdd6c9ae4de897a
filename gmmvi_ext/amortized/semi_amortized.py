"""Semi-amortized inference: a Gaussian mixture for each datum, started at its amortized posterior.

For each x the posterior p(z | x) is the target log p(z) + log p(x | z). GMM-VI starts at q(z | x)
and moves, adds and weighs components; nothing of the VAE changes.

    log p(x) - ELBO(q_x) = KL(q_x || p(z | x))        inference gap
    amortization gap     = ELBO(q_x) - ELBO(amortized)          (Cremer, Li and Duvenaud, ICML 2018)

All data go through one traced algorithm, whose variables are put back before each of them.
"""

import dataclasses
import warnings

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from gmmvi_ext.amortized.checks import checked_data
from gmmvi_ext.amortized.model import LatentVariableModel
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.lazy import former_names
from gmmvi_ext.math.random import stream
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.ranges import require
from gmmvi_ext.targets.base import Target

__all__ = [
    "DatumPosterior",
    "SemiAmortizedInference",
    "SemiAmortizedPosteriors",
    "amortized_mixture",
    "fit_semi_amortized",
]

__getattr__ = former_names(
    __name__,
    {
        "Refinement": "SemiAmortizedPosteriors",
        "Refiner": "SemiAmortizedInference",
        "refine": "fit_semi_amortized",
    },
)

_MOMENT_SAMPLES = 2000  # behind the Gaussian that starts from a flow posterior
_ROLES = {
    "ng_estimator_type": "Stein",
    "num_component_adapter_type": "adaptive",
    "sample_selector_type": "component-based",
    "ng_based_updater_type": "trust-region",
    "component_stepsize_adapter_type": "improvement-based",
    "weight_updater_type": "trust-region",
    "weight_stepsize_adapter_type": "improvement-based",
}


class DatumPosterior(Target):
    """log p(z) + log p(x | z) as a function of z [N, L], for the datum in the variable `x`.

    Latent arrays are flattened.

    Args:
      vae: the model; its parameters are read, not trained.
    """

    def __init__(self, vae: LatentVariableModel):
        super().__init__(vae.latent_dim, dtype=vae.dtype, name="datum_posterior")
        self._vae = vae
        self.x = tf.Variable(tf.zeros(vae.event_shape, vae.dtype), trainable=False, name="x")

    def log_prob(self, x, seed=None):
        z = tf.reshape(x, [-1, *self._vae.latent_shape])
        prior = self._vae.prior.distribution()
        likelihood = self._vae.likelihood(z)
        return prior.log_prob(z) + likelihood.log_prob(self.x.read_value())


@dataclasses.dataclass(frozen=True)
class SemiAmortizedPosteriors:
    """Semi-amortized posteriors of N data and what they gained, in nats.

    Attributes:
      posteriors: N posteriors over z.
      elbo_before: bound of the amortized posterior, [N].
      elbo_after: true bound of the mixture, from fresh draws and its exact density, [N].
      elbo_se: standard errors of `elbo_after`, [N].
      log_evidence: log p(x) by importance sampling from the mixture, [N].
    """

    posteriors: list[Posterior]
    elbo_before: np.ndarray
    elbo_after: np.ndarray
    elbo_se: np.ndarray
    log_evidence: np.ndarray

    @property
    def gap_before(self) -> np.ndarray:
        """log p(x) - ELBO of the amortized posterior, [N]."""
        return self.log_evidence - self.elbo_before

    @property
    def gap_after(self) -> np.ndarray:
        """log p(x) - ELBO of the semi-amortized posterior, [N]."""
        return self.log_evidence - self.elbo_after

    @property
    def amortization_gap(self) -> np.ndarray:
        """What the mixtures gained, [N]."""
        return self.elbo_after - self.elbo_before

    @property
    def amortisation_gap(self) -> np.ndarray:
        """Former name of `amortization_gap`."""
        warnings.warn("`amortisation_gap` is now `amortization_gap`.", FutureWarning, stacklevel=2)
        return self.amortization_gap

    def __str__(self) -> str:
        rows = {
            "ELBO, amortized": self.elbo_before,
            "ELBO, semi-amortized": self.elbo_after,
            "log evidence": self.log_evidence,
            "gap, amortized": self.gap_before,
            "gap, semi-amortized": self.gap_after,
            "amortization gap": self.amortization_gap,
        }
        count = len(self.elbo_after)
        lines = [f"{'mean over ' + str(count) + ' data':<22}{'nats':>10}"]
        return "\n".join([*lines, *(f"{name:<22}{v.mean():>10.3f}" for name, v in rows.items())])


class SemiAmortizedInference:
    """Fits the posteriors of data one after the other with one traced algorithm.

    Args:
      vae: the model; a continuous latent vector.
      num_iterations: of GMM-VI, for each datum.
      samples_per_component: draws of an iteration.
      max_components: most components of a mixture.
      num_samples: fresh draws behind each bound.
      seed: integer.
    """

    def __init__(
        self,
        vae: LatentVariableModel,
        *,
        num_iterations: int = 60,
        samples_per_component: int = 100,
        max_components: int = 8,
        num_samples: int = 2000,
        seed: int = 0,
    ):
        if vae.prior.is_discrete:
            raise ValueError(
                "semi-amortized inference needs a continuous latent vector, this one is discrete."
            )
        require(num_iterations >= 1, "num_iterations", "at least 1", num_iterations)
        require(max_components >= 1, "max_components", "at least 1", max_components)
        require(num_samples >= 2, "num_samples", "at least 2", num_samples)
        self._vae, self._seed = vae, seed
        self._num_iterations, self._num_samples = num_iterations, num_samples
        self._target = DatumPosterior(vae)
        config = _ROLES | {
            "sample_selector_config": {"desired_samples_per_component": samples_per_component},
            "num_component_adapter_config": {
                "max_components": max_components,
                "add_iters": 10,
                "del_iters": 30,
                "thresholds_for_add_heuristic": [5.0, 10.0, 2.0, 20.0],
            },
        }
        self._algorithm = GMMVI.build_from_config(config, self._target, seed=seed, dtype=vae.dtype)
        self._start = [(v, v.read_value()) for v in self._algorithm.variables]
        self._evaluate = tf.function(self._bound, autograph=False)
        self._amortized = tf.function(
            lambda x, seed: vae.report(x, num_samples, seed).elbo, autograph=False
        )

    def __call__(self, x) -> SemiAmortizedPosteriors:
        """Posteriors of the data x [N, *event]."""
        x = checked_data(x, self._vae.event_shape, name="x")
        posteriors, figures = [], []
        for number, datum in enumerate(x):
            seed = stream(self._seed, "semi-amortized", number)
            datum = tf.cast(datum, self._vae.dtype)
            mixture = self._fitted(datum, seed)
            before = self._amortized(datum[tf.newaxis], seed)[0]
            figures.append([float(before), *map(float, self._evaluate(mixture, seed))])
            posteriors.append(Posterior(mixture, target=self._own_target(datum)))
        return SemiAmortizedPosteriors(posteriors, *np.array(figures).T)

    def _fitted(self, datum: tf.Tensor, seed) -> Mixture:
        for variable, value in self._start:
            variable.assign(value)
        self._target.x.assign(datum)
        start = amortized_mixture(self._vae.posterior(datum), seed)
        model = self._algorithm.model
        model.assign(start)
        model.assign_learner(model.fresh_learner_state(start.num_components, 0))
        model.num_ids.assign(tf.cast(start.num_components, tf.int64))
        for _ in range(self._num_iterations):
            self._algorithm.step()
        return model.mixture()

    def _own_target(self, datum: tf.Tensor) -> DatumPosterior:
        target = DatumPosterior(self._vae)
        target.x.assign(datum)
        return target

    def _bound(self, mixture: Mixture, seed):
        """ELBO, its standard error, and the importance-sampling estimate of log p(x)."""
        z, _ = mixtures.sample(mixture, self._num_samples, seed)
        ratio = self._target.log_prob(z) - mixtures.log_prob(mixture, z)
        count = tf.cast(self._num_samples, ratio.dtype)
        error = tf.math.reduce_std(ratio) / tf.sqrt(count)
        return tf.reduce_mean(ratio), error, tf.reduce_logsumexp(ratio) - tf.math.log(count)


def fit_semi_amortized(vae: LatentVariableModel, x, **settings) -> SemiAmortizedPosteriors:
    """Posteriors of the data x [N, *event]; settings as `SemiAmortizedInference`."""
    return SemiAmortizedInference(vae, **settings)(x)


def amortized_mixture(posterior: tfd.Distribution, seed) -> Mixture:
    """The posterior of one datum as a Gaussian mixture; of a flow, the Gaussian of its moments.

    Args:
      posterior: no batch shape; events are flattened.
      seed: of the draws behind moments.
    """
    if isinstance(posterior, tfd.MixtureSameFamily):
        log_weights = tf.nn.log_softmax(posterior.mixture_distribution.logits_parameter())
        parts = posterior.components_distribution
        shape = [log_weights.shape[0], -1]
        loc, stddev = (tf.reshape(each, shape) for each in (parts.mean(), parts.stddev()))
        return Mixture(log_weights, FullGaussians(loc, tf.linalg.diag(stddev)))
    if isinstance(posterior, tfd.Independent):
        loc = tf.reshape(posterior.mean(), [-1])
        tril = tf.linalg.diag(tf.reshape(posterior.stddev(), [-1]))
    else:
        z = posterior.sample(_MOMENT_SAMPLES, seed=seed)
        loc, tril = tf.reduce_mean(z, axis=0), tf.linalg.cholesky(tfp.stats.covariance(z))
    return Mixture(tf.zeros([1], loc.dtype), FullGaussians(loc[tf.newaxis], tril[tf.newaxis]))
