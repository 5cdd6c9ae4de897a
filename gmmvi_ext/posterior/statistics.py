"""What one asks of a distribution: intervals, correlations, the mode, entropy, divergence.

    entropy  -E_q[log q(y)],        KL(q || r) = E_q[log q(y) - log r(y)]

in the constrained space, estimated from draws of q.
"""

import numbers
import reprlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.exploration import lbfgs
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.types import Estimate

__all__ = ["correlation_of", "highest_density_interval", "kl_divergence", "mean_of", "mode"]

MODE_ITERATIONS = 200


def highest_density_interval(draws: np.ndarray, prob: float) -> np.ndarray:
    """The narrowest interval that holds a share `prob` of the draws, for every column.

    Args:
      draws: [S, D'].
      prob: strictly between 0 and 1.

    Returns:
      lower and upper ends, [D', 2].
    """
    if not (isinstance(prob, numbers.Real) and 0.0 < prob < 1.0):
        raise ValueError(f"`prob` must lie strictly between 0 and 1, got {prob!r}.")
    ordered = np.sort(np.asarray(draws, np.float64), axis=0)
    inside = int(np.floor(prob * len(ordered)))
    width = ordered[inside:] - ordered[: len(ordered) - inside]
    first, columns = np.argmin(width, axis=0), np.arange(ordered.shape[1])
    return np.stack([ordered[first, columns], ordered[first + inside, columns]], axis=-1)


def correlation_of(covariance: np.ndarray) -> np.ndarray:
    """Correlations [D', D']; NaN for numbers that do not vary."""
    spread = np.sqrt(np.diag(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        return covariance / np.outer(spread, spread)


def mode(mixture: Mixture, layout: Layout) -> np.ndarray:
    """Where the density of the constrained values is highest, a flat constrained point [D'].

    By L-BFGS on log q(x) - log|dy/dx| from every mode of the mixture.
    """
    dtype = mixture.dtype

    def negative(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = tf.constant(points, dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = layout.log_det(x) - mixtures.log_prob(mixture, x)
        return value.numpy().astype(np.float64), tape.gradient(value, x).numpy().astype(np.float64)

    begin = np.asarray(diagnostics.find_modes(mixture).location, np.float64)
    if not layout.is_identity:
        runs = lbfgs.minimize(negative, begin, [MODE_ITERATIONS], np.inf)
        begin = runs.x[np.argsort(runs.value)]
    else:
        begin = begin[np.argsort(negative(begin)[0])]
    return layout.forward_flat(tf.constant(begin[:1], dtype)).numpy()[0]


def mean_of(values: np.ndarray) -> Estimate[float]:
    """Average of values [S] and its standard error; infinite ones stay infinite."""
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        return Estimate(float(values.mean()), float("nan"))
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def kl_divergence(posterior, other, num_samples: int, seed) -> Estimate[float]:
    """KL(posterior || other) in nats, see `Posterior.kl`."""
    if not callable(getattr(other, "log_prob", None)):
        raise TypeError(
            "`other` must be a posterior, or a distribution with `log_prob` over the same "
            f"parameters, got {type(other).__name__}."
        )
    draws = posterior.sample(num_samples, seed)
    given = _for(other, draws, posterior)
    try:
        log_other = np.asarray(other.log_prob(given), np.float64)
    except (TypeError, ValueError, KeyError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            "`other.log_prob` must take draws as `sample` gives them, here "
            f"{_described(given)}, and it fails: {type(error).__name__}: "
            f"{reprlib.repr(str(error))}. A TFP distribution over named parameters is a "
            "`tfd.JointDistributionNamed`."
        ) from error
    if log_other.shape != (num_samples,):
        raise ValueError(
            f"`other.log_prob` of {num_samples} draws gave shape {list(log_other.shape)}, expected "
            f"[{num_samples}]: it has to be a density of all parameters together."
        )
    return mean_of(posterior.log_prob(draws).astype(np.float64) - log_other)


def _described(draws) -> str:
    if not isinstance(draws, Mapping):
        return f"an array of shape {list(draws.shape)}"
    shapes = ", ".join(f"{name!r}: {list(value.shape)}" for name, value in draws.items())
    return f"a dict of arrays {{{shapes}}}"


def _for(other, draws, posterior):
    """Draws as `other.log_prob` takes them."""
    names = getattr(other, "parameter_names", None)
    theirs = getattr(other, "layout", None)
    if theirs is None:
        return draws
    mine = posterior.layout.shapes
    if dict(mine or {}) != dict(theirs.shapes or {}) or (
        mine is None and theirs.num_constrained != posterior.layout.num_constrained
    ):
        raise ValueError(
            f"`other` has the parameters {theirs.shapes or theirs.num_constrained}, expected "
            f"those of this posterior, {mine or posterior.layout.num_constrained}."
        )
    return {name: draws[name] for name in names} if isinstance(draws, Mapping) else draws
