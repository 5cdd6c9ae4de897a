"""Means, standard deviations and quantiles: exact where the bijector allows, else from draws."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.posterior.importance.draws import sample_mixture

__all__ = [
    "constrained_draws",
    "flat_covariance",
    "flat_moments",
    "flat_quantiles",
    "mixture_stddev",
    "normal_cdf",
]

BISECTIONS = 60  # halvings of the bracket: beyond float64 resolution of any quantile


def constrained_draws(mixture: Mixture, layout: Layout, num_samples: int, seed) -> np.ndarray:
    """Flat constrained draws, [S, D']."""
    x, _ = sample_mixture(mixture, num_samples, seed)
    return layout.forward_flat(tf.constant(x)).numpy()


def flat_moments(
    mixture: Mixture, layout: Layout, num_samples: int, seed
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every constrained number, [D'] each.

    Exact in the unconstrained case; otherwise from `num_samples` draws.
    """
    if layout.is_identity:
        return mixtures.mean(mixture).numpy(), mixture_stddev(mixture).numpy()
    draws = constrained_draws(mixture, layout, num_samples, seed).astype(np.float64)
    return draws.mean(0), draws.std(0, ddof=1)


def flat_covariance(mixture: Mixture, layout: Layout, num_samples: int, seed) -> np.ndarray:
    """Covariance of all constrained numbers, [D', D'], exact or from draws likewise."""
    if layout.is_identity:
        return mixtures.covariance(mixture).numpy()
    draws = constrained_draws(mixture, layout, num_samples, seed).astype(np.float64)
    return np.atleast_2d(np.cov(draws, rowvar=False))


def mixture_stddev(mixture: Mixture) -> tf.Tensor:
    """Standard deviation of every unconstrained coordinate, [D], without a D x D matrix."""
    components = mixture.components
    second = tf.square(components.stddevs()) + tf.square(components.loc - mixtures.mean(mixture))
    return tf.sqrt(tf.linalg.matvec(second, tf.exp(mixture.log_weights), transpose_a=True))


def flat_quantiles(mixture: Mixture, layout: Layout, q, num_samples: int, seed) -> np.ndarray:
    """Quantiles [Q, D'] of every constrained number.

    Exact where each number is a monotone function of one coordinate; otherwise from draws.
    """
    levels = np.atleast_1d(as_numbers(q, "`q`"))
    if not ((levels > 0) & (levels < 1)).all():  # NaN is refused, too
        raise ValueError(f"`q` must lie strictly between 0 and 1, got {q}.")
    if not layout.is_elementwise:
        draws = constrained_draws(mixture, layout, num_samples, seed)
        return np.quantile(draws, levels, axis=0)
    low = _coordinate_quantiles(mixture, levels)
    both = np.concatenate([low, _coordinate_quantiles(mixture, 1.0 - levels)])
    mapped = layout.forward_flat(tf.constant(both, mixture.dtype)).numpy()
    probe = tf.constant(np.stack([np.full(low.shape[1], -0.1), np.full(low.shape[1], 0.1)]))
    ends = layout.forward_flat(tf.cast(probe, mixture.dtype)).numpy()
    return np.where(ends[1] >= ends[0], mapped[: levels.size], mapped[levels.size :])


def _coordinate_quantiles(mixture: Mixture, levels: np.ndarray) -> np.ndarray:
    """Quantiles of the coordinates' marginal mixtures by bisection, [Q, D]."""
    weights = np.exp(np.asarray(mixture.log_weights, np.float64))[:, None]  # [K, 1]
    loc = np.asarray(mixture.components.loc, np.float64)  # [K, D]
    scale = np.asarray(mixture.components.stddevs(), np.float64)
    alive = weights[:, 0] > 0
    weights, loc, scale = weights[alive], loc[alive], scale[alive]
    low = np.broadcast_to((loc - 40 * scale).min(0), (levels.size, loc.shape[1])).copy()
    high = np.broadcast_to((loc + 40 * scale).max(0), low.shape).copy()
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = (weights * normal_cdf((middle[:, None] - loc) / scale)).sum(1) < levels[:, None]
        low = np.where(below, middle, low)
        high = np.where(below, high, middle)
    return 0.5 * (low + high)


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """Standard normal distribution function, any shape."""
    return 0.5 * tf.math.erfc(tf.constant(-np.asarray(z, np.float64) / np.sqrt(2.0))).numpy()
