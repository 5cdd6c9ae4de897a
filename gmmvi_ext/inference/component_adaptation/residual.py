"""Where the mixture lacks mass: draws of what it leaves of the target.

    r(x) = max(0, p(x) / Z - q(x))

Samples x_n with a known density s (those the iteration learned from) stand for draws of r when x_n
is taken with probability proportional to r(x_n) / s(x_n); Z is the mean of p / s. The ratios
p / (Z s) are truncated at the square root of their number (Ionides, 2008): a single sample far out
must not win whatever else is missing.

The scores of VIPS rank candidates by densities instead, and the neck of a funnel, whose density
exceeds the bulk's by many nats, then attracts all new components although it holds little mass.
"""

import tensorflow as tf

__all__ = ["residual_weights"]

# Below this share of q what is missing is rounding, and which sample it is found at is chance.
MIN_SHARE = 0.01


def residual_weights(target_log_prob, proposal_log_prob, log_q, is_valid) -> tf.Tensor:
    """Weights r / s of samples, unnormalized; all zero where nothing to speak of is missing.

    Args:
      target_log_prob: log p up to a constant, [N].
      proposal_log_prob: log s, [N].
      log_q: log density of the mixture as it is now, [N].
      is_valid: False for samples that do not count, [N].
    """
    dtype = target_log_prob.dtype
    is_valid &= tf.math.is_finite(target_log_prob) & tf.math.is_finite(proposal_log_prob)
    lowest = tf.cast(dtype.min, dtype)
    log_ratio = tf.where(is_valid, target_log_prob - proposal_log_prob, lowest)
    count = tf.reduce_sum(tf.cast(is_valid, dtype))
    log_mean = tf.reduce_logsumexp(log_ratio) - tf.math.log(tf.maximum(count, 1.0))
    most = tf.sqrt(tf.maximum(count, 1.0))
    wanted = tf.minimum(tf.exp(tf.minimum(log_ratio - log_mean, tf.math.log(most))), most)
    # Where q is far above s nothing is missing; the cap keeps the exponential finite.
    held = tf.exp(tf.minimum(log_q - proposal_log_prob, tf.math.log(2.0 * most)))
    return tf.where(is_valid & (wanted > (1.0 + MIN_SHARE) * held), wanted - held, 0.0)
