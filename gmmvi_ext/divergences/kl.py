"""KL divergence by the best means at hand, and the derivative of a density."""

import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.divergences.monte_carlo import kl_mc
from gmmvi_ext.divergences.quadrature import Quadrature, kl_quadrature
from gmmvi_ext.types import Estimate

tfd = tfp.distributions

__all__ = ["density_derivative", "kl"]

METHODS = ("auto", "closed_form", "quadrature", "monte_carlo")
NUM_STDDEVS = 12  # half width of the quadrature range of `kl`
DEFAULT_SAMPLES = 100_000


def kl(p, q, *, method: str = "auto", num_samples: int = DEFAULT_SAMPLES, seed=(0, 0)):
    """KL(p || q).

    Args:
      p: distribution.
      q: distribution.
      method: "auto" takes a registered closed form, else quadrature for scalars, else Monte Carlo.
      num_samples: for Monte Carlo.
      seed: stateless seed [2], for Monte Carlo.

    Returns:
      A scalar tensor for the closed form, else a `Quadrature` (value, mass) or an `Estimate`
      (value, standard_error).
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}, got {method!r}.")
    if method in ("auto", "closed_form"):
        try:
            return tfd.kl_divergence(p, q)
        except NotImplementedError:
            if method == "closed_form":
                raise ValueError(
                    f"`method='closed_form'` needs a registered divergence between "
                    f"{type(p).__name__} and {type(q).__name__}; use 'auto'."
                ) from None
    if method == "quadrature" or (method == "auto" and p.event_shape.rank == 0):
        return _by_quadrature(p, q)
    return _by_sampling(p, q, num_samples, seed)


def _by_quadrature(p, q) -> Quadrature:
    mean, width = p.mean(), NUM_STDDEVS * p.stddev()
    return kl_quadrature(p, q, mean - width, mean + width, 20_001)


def _by_sampling(p, q, num_samples, seed) -> Estimate[tf.Tensor]:
    return kl_mc(p, q, num_samples, seed=seed)


def density_derivative(log_prob, x) -> tf.Tensor:
    """d/dx of the density exp(log_prob(x)); zero outside the support, where it jumps.

    Args:
      log_prob: function x -> log density, elementwise, or distribution.
      x: points.
    """
    log_prob = log_prob.log_prob if hasattr(log_prob, "log_prob") else log_prob
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        density = tf.exp(log_prob(x))
    slope = tape.gradient(density, x, unconnected_gradients="zero")
    return tf.where(tf.math.is_finite(slope) & (density > 0), slope, tf.zeros_like(slope))
