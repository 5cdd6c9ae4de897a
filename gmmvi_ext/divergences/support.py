"""Where a distribution on the line lives, and its log density there and nowhere else.

TFP's formulas go on beyond a support: `Exponential(1).log_prob(-1)` is 1, that of a log-normal is
NaN. Whatever evaluates a density at points it chose itself reads it through `log_density`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.ranges import require_function
from gmmvi_ext.types import DensityLike

__all__ = [
    "as_points",
    "centers",
    "ends",
    "is_discrete",
    "landmarks",
    "log_density",
    "require_distribution",
]

tfd = lazy_module("tensorflow_probability.python.distributions")
tfb = lazy_module("tensorflow_probability.python.bijectors")

BEYOND = 1e30  # stands for infinity in maps that make NaN of it
NUM_DRAWS = 1001
RANKS = (0, 20, 250, 500, 750, 980, 1000)  # of the sorted draws
REACH = 4.0  # standard deviations around the components of a mixture


def ends(dist) -> tuple[tf.Tensor, tf.Tensor]:
    """Lower and upper end of the support of a distribution on the line, of its batch shape.

    Raises:
      ValueError: for a discrete distribution.
    """
    if isinstance(dist, tfd.MixtureSameFamily):
        low, high = ends(dist.components_distribution)
        return tf.reduce_min(low, axis=-1), tf.reduce_max(high, axis=-1)
    if isinstance(dist, tfd.Mixture):
        pairs = [ends(each) for each in dist.components]
        return tuple(
            reduce(tf.stack(side), axis=0)
            for reduce, side in zip(
                (tf.reduce_min, tf.reduce_max), zip(*pairs, strict=True), strict=True
            )
        )
    try:
        bijector = dist.experimental_default_event_space_bijector()
    except NotImplementedError:  # a distribution of the user that says nothing of its support
        bijector = tfb.Identity()
    if bijector is None:
        raise ValueError(f"`{dist.name}` must be a continuous distribution, got {dist}.")
    if type(bijector) is tfb.Sigmoid and bijector.low is not None:
        pair = bijector.low, bijector.high
    else:
        pair = _image(bijector, -np.inf, dist.dtype), _image(bijector, np.inf, dist.dtype)
    shape = dist.batch_shape_tensor()
    one, other = (tf.broadcast_to(tf.cast(each, dist.dtype), shape) for each in pair)
    return tf.minimum(one, other), tf.maximum(one, other)


def require_distribution(name: str, value) -> None:
    """Raises TypeError where `value` is nothing that has a density and can be drawn from."""
    if not (hasattr(value, "log_prob") and hasattr(value, "sample")):
        raise TypeError(
            f"`{name}` must be a TFP distribution, with `log_prob` and `sample`, got "
            f"{type(value).__name__}."
        )


def is_discrete(dist) -> bool:
    """Whether a distribution on the line has no density."""
    try:
        ends(dist)
    except ValueError:
        return True
    return False


def log_density(p: DensityLike, dtype: tf.DType | None = None) -> Callable:
    """Function x -> log density, -inf outside the support.

    Args:
      p: distribution, or function, which is taken as it is.
      dtype: of x and of the result; a distribution of another dtype is read in its own.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.divergences import log_density
        >>> log_prob = log_density(tfp.distributions.Uniform(0.0, 2.0))
        >>> print(log_prob(tf.constant([-1.0, 1.0, 3.0])).numpy().round(3))
        [  -inf -0.693   -inf]
    """
    if not hasattr(p, "log_prob"):
        require_function("p", p, "points, or a distribution")
        return p
    known: Any = p
    inner, inside = known.dtype, _membership(known)

    def log_prob(x):
        x = as_points(x, inner)
        outer = dtype or x.dtype
        allowed, safe = inside(tf.cast(x, inner))
        found = known.log_prob(safe)
        if allowed is not True:
            found = tf.where(allowed, found, tf.constant(-np.inf, found.dtype))
        return tf.cast(found, outer if outer.is_floating else found.dtype)

    return log_prob


def as_points(x, dtype: tf.DType) -> tf.Tensor:
    """`x` as a floating tensor; numbers and integers in `dtype`."""
    x = x if hasattr(x, "dtype") else to_dtype(x, dtype)
    return tf.convert_to_tensor(x) if tf.as_dtype(x.dtype).is_floating else to_dtype(x, dtype)


def landmarks(dist) -> tf.Tensor:
    """Points [n, *batch] between which the density is smooth: centers, quantiles, components."""
    draws = tf.sort(dist.sample(NUM_DRAWS, seed=[0, 0]), axis=0)
    found = [tf.gather(draws, RANKS), *_centers(dist)]
    median = draws[NUM_DRAWS // 2]
    points = tf.concat(found, axis=0)
    return tf.where(tf.math.is_finite(points), points, median)


def _centers(dist) -> list[tf.Tensor]:
    """Means, modes and locations, [1 or more, *batch] each, where the distribution has them."""
    if isinstance(dist, tfd.MixtureSameFamily):
        parts = dist.components_distribution
        spread = _first_of(parts, "stddev", "scale")
        found = []
        for center in _centers(parts):
            for shift in (0.0, -REACH, REACH) if spread is not None else (0.0,):
                moved = center if shift == 0.0 else center + shift * spread
                found.append(_last_axis_first(moved))
        return found
    if isinstance(dist, tfd.Mixture):
        return [each for part in dist.components for each in _centers(part)]
    known = (_first_of(dist, name) for name in ("mean", "mode", "loc"))
    shape = dist.batch_shape_tensor()
    return [tf.broadcast_to(each, shape)[tf.newaxis] for each in known if each is not None]


def centers(dist) -> tf.Tensor | None:
    """As `landmarks`, without draws; None for a function or a distribution without centers."""
    if not hasattr(dist, "log_prob"):
        return None
    found = _centers(dist)
    return tf.concat(found, axis=0) if found else None


def _first_of(dist, *names: str):
    for name in names:
        value = getattr(dist, name, None)
        try:
            value = value() if callable(value) else value
        except (NotImplementedError, ValueError):
            continue
        if value is not None and not isinstance(value, str):
            return tf.cast(value, dist.dtype)
    return None


def _last_axis_first(points: tf.Tensor) -> tf.Tensor:
    """[1, *batch, K] -> [K, *batch]."""
    rank = points.shape.rank
    return tf.transpose(points[0], [rank - 2, *range(rank - 2)])


def _image(bijector, x: float, dtype) -> tf.Tensor:
    try:
        image = bijector.forward(tf.constant(x, dtype))
        near = bijector.forward(tf.constant(np.sign(x) * BEYOND, dtype))
    except (ValueError, TypeError):
        # Some of TFP's default bijectors are float32 whatever the distribution is.
        if dtype == tf.float32:
            raise
        return tf.cast(_image(bijector, x, tf.float32), dtype)
    return tf.where(tf.math.is_nan(image), near, image)


def _membership(dist) -> Callable:
    """x -> (whether x lies in the support, x or a point of the support)."""
    if dist.event_shape.rank == 0:
        try:
            low, high = ends(dist)
        except ValueError:  # discrete: its own formula knows
            return lambda x: (True, x)
        middle = 0.5 * (tf.maximum(low, high - 2) + tf.minimum(high, low + 2))
        middle = tf.where(tf.math.is_finite(middle), middle, tf.zeros_like(middle))

        def on_the_line(x):
            allowed = (x >= low) & (x <= high)
            return allowed, tf.where(allowed, x, middle)

        return on_the_line
    return lambda x: (True, x)
