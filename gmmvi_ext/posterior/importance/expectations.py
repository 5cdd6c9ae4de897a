"""Estimates and draws corrected by importance weights."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.math.casting import as_numbers
from gmmvi_ext.math.random import host_generator
from gmmvi_ext.posterior.importance.draws import ScoredDraws
from gmmvi_ext.ranges import require_function

__all__ = ["Expectation", "expectation", "resample"]


class Expectation(NamedTuple):
    """An expectation under the posterior.

    Attributes:
      value: estimate, an array of the function's shape.
      standard_error: its Monte Carlo error, same shape.
      khat: Pareto index of the weights used, NaN if draws of the mixture were averaged plainly;
        above `diagnostics.khat_threshold` the error is not to be believed.

    Example:
        >>> from gmmvi_ext.models import initial_mixture
        >>> from gmmvi_ext.targets import CallableTarget
        >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
        >>> result = posterior.expectation(lambda x: x[:, 0] ** 2)  # of the target: 1
        >>> abs(float(result.value) - 1.0) < 4.0 * float(result.standard_error), result.khat < 0.7
        (True, True)
    """

    value: np.ndarray
    standard_error: np.ndarray
    khat: float


def expectation(f, draws: ScoredDraws, space, dtype, *, reweighted: bool) -> Expectation:
    """Average of `f` over draws, see `Posterior.expectation`."""
    require_function("f", f, "draws")
    values = f(space.unpack(space.forward_flat(tf.constant(draws.x, dtype)).numpy()))
    values = as_numbers(values, "what the function of an expectation returns")
    num = len(draws.x)
    if values.shape[:1] != (num,):
        raise ValueError(
            f"the function of an expectation must return one value per draw, shape [{num}, ...], "
            f"got {values.shape}."
        )
    if not reweighted:
        error = values.std(0, ddof=1) / np.sqrt(num)
        return Expectation(values.mean(0), error, float("nan"))
    smoothed = draws.smoothed()
    used = np.isfinite(smoothed.log_weights)  # a value that is NaN where the weight is zero is fine
    mean, error = diagnostics.weighted_mean(values[used], smoothed.log_weights[used])
    return Expectation(mean, error, float(smoothed.khat))


def resample(draws: ScoredDraws, num_samples: int, seed, *, replace: bool) -> np.ndarray:
    """Row numbers of `num_samples` draws, chosen in proportion to the smoothed weights.

    Without replacement by the Gumbel-top-k trick, so no draw appears twice; with replacement by
    systematic resampling. The order is random either way.
    """
    log_weights = draws.smoothed().log_weights
    generator = host_generator(seed, "resampling")
    if replace:
        points = (np.arange(num_samples) + generator.uniform()) / num_samples
        edges = np.cumsum(np.exp(log_weights))
        chosen = np.searchsorted(edges / edges[-1], points)
        return generator.permutation(np.minimum(chosen, len(log_weights) - 1))
    alive = int(np.isfinite(log_weights).sum())
    if num_samples > alive:
        raise ValueError(
            f"{num_samples} draws without duplicates need at least as many proposals with positive "
            f"weight, there are {alive}: raise `num_proposals` or pass `replace=True`."
        )
    keys = log_weights + generator.gumbel(size=log_weights.size)
    return np.argpartition(-keys, num_samples - 1)[:num_samples]
