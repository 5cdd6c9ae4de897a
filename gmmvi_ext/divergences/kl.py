"""KL divergence by the best means at hand, and the derivative of a density."""

import numpy as np
import tensorflow as tf

from gmmvi_ext.divergences import support
from gmmvi_ext.divergences.double_exponential import support_nodes
from gmmvi_ext.divergences.monte_carlo import kl_mc
from gmmvi_ext.divergences.quadrature import Quadrature
from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.ranges import require_count
from gmmvi_ext.types import DensityLike, Distribution, Estimate, Seed, TensorLike

__all__ = ["density_derivative", "kl", "kl_on_support"]

tfd = lazy_module("tensorflow_probability.python.distributions")

METHODS = ("auto", "closed_form", "quadrature", "monte_carlo")
DEFAULT_SAMPLES = 100_000
LOOK_BACK = 20  # nodes over which a tail must fall


def kl(
    p: Distribution,
    q: Distribution,
    *,
    method: str = "auto",
    num_samples: int = DEFAULT_SAMPLES,
    seed: Seed = (0, 0),
) -> tf.Tensor | Quadrature | Estimate:
    """KL(p || q).

    Args:
      p: distribution; a batch of them gives a batch of divergences.
      q: distribution.
      method: "auto" takes a registered closed form, else quadrature over the support of p for
        densities on the line, else Monte Carlo.
      num_samples: for Monte Carlo.
      seed: stateless seed [2], for Monte Carlo.

    Returns:
      A tensor for the closed form, else a `Quadrature` (value, mass, error) or an `Estimate`
      (value, standard_error).

    Raises:
      ValueError: no distributions, or such as have no common density.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import kl
        >>> tfd = tfp.distributions
        >>> round(float(kl(tfd.Normal(0.0, 1.0), tfd.Normal(1.0, 1.0))), 3)  # in closed form
        0.5
        >>> result = kl(tfd.Laplace(0.0, 1.0), tfd.Normal(0.0, 1.0))  # by quadrature
        >>> round(float(result.value), 3)
        0.226
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}, got {method!r}.")
    require_count("num_samples", num_samples)
    _check_pair(p, q)
    if method in ("auto", "closed_form"):
        try:
            return tfd.kl_divergence(p, q)
        except NotImplementedError:
            if method == "closed_form":
                raise ValueError(
                    f"`method='closed_form'` needs a registered divergence between "
                    f"{type(p).__name__} and {type(q).__name__}; use 'auto'."
                ) from None
    on_line = p.event_shape.rank == 0 and not support.is_discrete(p)
    if method == "quadrature" and not on_line:
        raise ValueError(f"`method='quadrature'` needs densities on the line, got p = {p}.")
    if method == "quadrature" or (method == "auto" and on_line):
        return kl_on_support(p, q)
    return kl_mc(p, q, num_samples, seed=seed)


def _check_pair(p, q) -> None:
    for name, each in (("p", p), ("q", q)):
        if not hasattr(each, "log_prob") or not hasattr(each, "event_shape"):
            raise ValueError(
                f"`{name}` must be a distribution of TensorFlow Probability, got "
                f"{type(each).__name__}."
            )
    shapes = p.event_shape, q.event_shape
    if not all(isinstance(each, tf.TensorShape) for each in shapes):  # joint distributions
        return
    if not shapes[0].is_compatible_with(shapes[1]):
        raise ValueError(
            f"`p` and `q` must be over values of one shape, got {shapes[0]} and {shapes[1]}."
        )
    if p.event_shape.rank == 0 and support.is_discrete(p) != support.is_discrete(q):
        first, second = ("p", "q") if support.is_discrete(p) else ("q", "p")
        raise ValueError(
            f"`{first}` has probabilities of single values and `{second}` a density; there is no "
            "divergence between them."
        )


def kl_on_support(p, q) -> Quadrature:
    """KL(p || q) over the support of p, bounded or not, whatever its tails.

    Args:
      p: distribution on the line.
      q: distribution, or function x [n, *batch] -> log density.

    Returns:
      The divergence, infinite where q vanishes and p does not or where the integral does not exist;
      the mass of p that was seen; and a bound of the error: twice the difference to half the nodes
      plus what the mass that was missed may hold.
    """
    nodes = support_nodes(p, q)
    log_q = tf.cast(support.log_density(q, p.dtype)(nodes.x), tf.float64)
    log_p = tf.cast(support.log_density(p)(nodes.x), tf.float64)
    seen = tf.exp(nodes.log_mass) > 0
    gap = tf.where(seen, log_p - log_q, tf.zeros_like(log_p))
    terms = _product(nodes.log_mass, gap)
    coarse = tf.reshape(tf.constant(nodes.coarse), [-1] + [1] * (gap.shape.rank - 1))
    value, rough = (tf.reduce_sum(terms * w, axis=0) for w in (1.0, tf.exp(coarse)))
    mass = tf.reduce_sum(tf.exp(nodes.log_mass), axis=0)
    rounding = float(np.finfo(p.dtype.as_numpy_dtype).eps)
    missed = tf.maximum(tf.abs(1 - mass) - 100 * rounding, 0.0)
    # Where mass is missing the gap may be as large as at the outermost nodes that still count.
    counted = tf.exp(nodes.log_mass) >= 1e-3 * missed
    extreme = tf.reduce_max(tf.where(counted & seen, tf.abs(gap), tf.zeros_like(gap)), axis=0)
    error = 2 * tf.abs(value - rough) + missed * (1 + extreme)
    error += 4 * rounding * tf.reduce_sum(tf.abs(terms), axis=0)
    for tail in nodes.tails:
        beyond = _beyond(terms, tail)
        error += beyond
        value = tf.where(tf.math.is_inf(beyond), beyond, value)
    error = tf.where(tf.math.is_finite(value), error, tf.zeros_like(error))
    return Quadrature(*(tf.cast(each, p.dtype) for each in (value, mass, error)))


def _product(log_mass, gap):
    """exp(log_mass) gap, also where the first factor underflows and the second is huge."""
    size = tf.where(gap == 0, tf.ones_like(gap), tf.abs(gap))
    return tf.sign(gap) * tf.exp(log_mass + tf.math.log(size))


def _beyond(terms, tail: np.ndarray):
    """What lies beyond the last node of an unbounded end, as a geometric series.

    Infinite where the terms do not fall, for then the integral does not exist.
    """
    last, before = (tf.abs(terms[int(tail[k])]) for k in (0, LOOK_BACK))
    ratio = tf.math.divide_no_nan(last, before) ** (1 / LOOK_BACK)
    falling = tf.where(ratio < 1, ratio, tf.zeros_like(ratio))
    series = last * falling / (1 - falling)
    return tf.where((last > 0) & (last >= before), tf.constant(np.inf, series.dtype), series)


def density_derivative(log_prob: DensityLike, x: TensorLike) -> tf.Tensor:
    """d/dx of the density exp(log_prob(x)); zero outside the support, where it jumps.

    Args:
      log_prob: distribution, or function x -> log density, elementwise, -inf outside its support.
      x: points.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import density_derivative
        >>> normal = tfp.distributions.Normal(0.0, 1.0)
        >>> print(density_derivative(normal, tf.constant([-1.0, 1.0])).numpy().round(3))
        [ 0.242 -0.242]
    """
    log_density = support.log_density(log_prob)
    x = support.as_points(x, getattr(log_prob, "dtype", tf.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        density = tf.exp(log_density(x))
    slope = tape.gradient(density, x, unconnected_gradients="zero")
    return tf.where(tf.math.is_finite(slope) & (density > 0), slope, tf.zeros_like(slope))
