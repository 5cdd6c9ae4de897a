"""Monte Carlo estimates with standard errors: KL, ELBO, log evidence."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gmmvi_ext.divergences.support import log_density, require_distribution
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.random import as_seed
from gmmvi_ext.ranges import require_count
from gmmvi_ext.types import DensityLike, Distribution, Estimate, Seed

__all__ = ["elbo_mc", "kl_mc", "log_evidence_bridge", "log_evidence_iwae"]

BRIDGE_ITERATIONS = 100


def kl_mc(
    p: Distribution, q: DensityLike, num_samples: int, *, seed: Seed, importance: Any = None
) -> Estimate[tf.Tensor]:
    """KL(p || q) from samples.

    Args:
      p: distribution with `sample` and `log_prob` (only `log_prob`, normalized, with `importance`).
      q: distribution, or function x -> log density.
      num_samples: number of draws.
      seed: int, or a pair of ints.
      importance: distribution to draw from in place of p, with self-normalized weights.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import kl_mc
        >>> p, q = tfp.distributions.Normal(0.0, 1.0), tfp.distributions.Normal(1.0, 1.0)
        >>> estimate = kl_mc(p, q, 10_000, seed=[0, 1])  # exact: 0.5
        >>> bool(abs(estimate.value - 0.5) < 4.0 * estimate.standard_error)
        True
    """
    require_distribution(*("p", p) if importance is None else ("importance", importance))
    require_count("num_samples", num_samples)
    seed = as_seed(seed)
    log_q = log_density(q)
    if importance is None:
        x = tf.stop_gradient(p.sample(num_samples, seed=seed))
        return _mean(p.log_prob(x) - log_q(x))
    x = tf.stop_gradient(importance.sample(num_samples, seed=seed))
    log_p = log_density(p)(x)
    weights = tf.nn.softmax(log_p - importance.log_prob(x), axis=0)
    # Where p vanishes the draw counts for nothing, whatever q is.
    gap = tf.where(weights > 0, log_p - log_q(x), tf.zeros_like(log_p))
    value = tf.reduce_sum(weights * gap, axis=0)
    error = tf.sqrt(tf.reduce_sum(tf.square(weights * (gap - value)), axis=0))
    return Estimate(value, error)


def elbo_mc(
    joint_log_prob: DensityLike, q: Distribution, num_samples: int, *, seed: Seed
) -> Estimate[tf.Tensor]:
    """ELBO of q: minus KL(q || joint).

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import elbo_mc
        >>> normal = tfp.distributions.Normal(0.0, 1.0)
        >>> estimate = elbo_mc(lambda x: normal.log_prob(x) + 2.0, normal, 100, seed=[0, 1])
        >>> round(float(estimate.value), 3), round(float(estimate.standard_error), 3)  # q is exact
        (2.0, 0.0)
    """
    require_distribution("q", q)
    negative = kl_mc(q, joint_log_prob, num_samples, seed=seed)
    return Estimate(-negative.value, negative.standard_error)


def log_evidence_iwae(
    joint_log_prob: Callable, q: Distribution, num_samples: int, *, seed: Seed
) -> Estimate[tf.Tensor]:
    """log of the mean importance weight under q; its standard error by the delta method.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import log_evidence_iwae
        >>> posterior = tfp.distributions.Normal(0.0, 1.0)
        >>> proposal = tfp.distributions.Normal(0.0, 1.5)
        >>> joint_log_prob = lambda x: posterior.log_prob(x) + 2.0  # so the log evidence is 2
        >>> estimate = log_evidence_iwae(joint_log_prob, proposal, 5000, seed=[0, 1])
        >>> bool(abs(estimate.value - 2.0) < 4.0 * estimate.standard_error)
        True
    """
    require_distribution("q", q)
    require_count("num_samples", num_samples)
    x = q.sample(num_samples, seed=as_seed(seed))
    log_weights = log_density(joint_log_prob)(x) - q.log_prob(x)
    count = tf.cast(num_samples, log_weights.dtype)
    value = tf.reduce_logsumexp(log_weights) - tf.math.log(count)
    relative = tf.exp(log_weights - value)
    return Estimate(value, tf.math.reduce_std(relative) / tf.sqrt(count))


def log_evidence_bridge(
    joint_log_prob: Callable,
    q: Distribution,
    posterior_samples: tf.Tensor,
    num_samples: int,
    *,
    seed: Seed,
) -> tf.Tensor:
    """log evidence by bridge sampling between q and the posterior (Meng and Wong, 1996).

    Args:
      joint_log_prob: function x [N, ...] -> log p(data, x) [N].
      q: distribution that overlaps with the posterior.
      posterior_samples: draws from the posterior, [M, ...].
      num_samples: number of draws from q.
      seed: int, or a pair of ints.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import log_evidence_bridge
        >>> posterior = tfp.distributions.Normal(0.0, 1.0)
        >>> joint_log_prob = lambda x: posterior.log_prob(x) + 2.0  # so the log evidence is 2
        >>> draws = posterior.sample(2000, seed=[0, 1])
        >>> proposal = tfp.distributions.Normal(0.5, 1.5)
        >>> round(float(log_evidence_bridge(joint_log_prob, proposal, draws, 2000, seed=[0, 2])), 1)
        2.0
    """
    require_distribution("q", q)
    require_count("num_samples", num_samples)
    x, log_joint = q.sample(num_samples, seed=as_seed(seed)), log_density(joint_log_prob)
    posterior_samples = to_dtype(posterior_samples, x.dtype, "`posterior_samples`")
    from_q = log_joint(x) - q.log_prob(x)
    from_posterior = log_joint(posterior_samples) - q.log_prob(posterior_samples)
    num_posterior = tf.cast(tf.shape(from_posterior)[0], from_q.dtype)
    num_q = tf.cast(num_samples, from_q.dtype)
    share_p = tf.math.log(num_posterior / (num_posterior + num_q))
    share_q = tf.math.log(num_q / (num_posterior + num_q))

    def improve(log_z):
        def damped(log_ratio, numerator):
            bottom = _log_add(share_p + log_ratio - log_z, share_q)
            return tf.reduce_logsumexp(numerator - bottom)

        top = damped(from_q, from_q) - tf.math.log(num_q)
        low = damped(from_posterior, tf.zeros_like(from_posterior)) - tf.math.log(num_posterior)
        return top - low

    log_z = tf.reduce_logsumexp(from_q) - tf.math.log(num_q)
    for _ in range(BRIDGE_ITERATIONS):
        log_z = improve(log_z)
    return log_z


def _log_add(a, b):
    """log(e^a + e^b), b a scalar."""
    return b + tf.math.softplus(a - b)


def _mean(values: tf.Tensor) -> Estimate[tf.Tensor]:
    """Mean over the first axis."""
    count = tf.cast(tf.shape(values)[0], values.dtype)
    spread = tf.math.reduce_std(values, axis=0) * tf.sqrt(count / (count - 1))
    return Estimate(tf.reduce_mean(values, axis=0), spread / tf.sqrt(count))
