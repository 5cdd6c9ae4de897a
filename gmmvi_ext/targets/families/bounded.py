"""Densities on bounded supports, with and without mass at the edges: Beta, Gamma, Dirichlet,
truncated normals, correlation matrices."""

import math

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from gmmvi_ext.targets.families.base import FAMILIES, KnownPosterior, log_uniform, offset, to

__all__: list[str] = []

SHAPES = (0.01, 50.0)  # of Beta, Gamma, Dirichlet; below about 0.3 much mass lies at the edge
SOFT = 0.05  # smallest shape whose tails in the unconstrained space a mixture can represent in 3-D


def _lgamma(values) -> np.ndarray:
    return np.vectorize(math.lgamma)(values)


@FAMILIES.register("beta")
def beta(rng: np.random.Generator) -> KnownPosterior:
    """1 to 5 independent Beta variables on intervals of several widths."""
    dim = int(rng.integers(1, 6))
    a, b = log_uniform(rng, *SHAPES, (2, dim))
    low = float(rng.choice([0.0, 0.0, -1.0, 2.0]))
    width = float(rng.choice([1.0, 1.0, 2.0, 8.0]))
    shift = offset(rng)
    constant = float(np.sum(_lgamma(a) + _lgamma(b) - _lgamma(a + b) + (a + b - 1) * np.log(width)))

    def log_prob(values):
        p = values["p"]
        left = tf.math.log(p - to(low, p)) * to(a - 1, p)
        right = tf.math.log(to(low + width, p) - p) * to(b - 1, p)
        return tf.reduce_sum(left + right, axis=-1) + to(shift, p)

    def sampler(num_samples, generator):
        return {"p": low + width * generator.beta(a, b, (num_samples, dim))}

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        shift + constant,
        shapes={"p": (dim,)},
        constraints={"p": {"name": "interval", "low": low, "high": low + width}},
        is_representable=dim == 1 or min(a.min(), b.min()) >= SOFT,
        about={"D": dim, "K": 1, "smallest": float(min(a.min(), b.min()))},
    )


@FAMILIES.register("gamma")
def gamma(rng: np.random.Generator) -> KnownPosterior:
    """1 to 5 independent Gamma variables of several scales."""
    dim = int(rng.integers(1, 6))
    shape, rate = log_uniform(rng, *SHAPES, dim), log_uniform(rng, 1e-2, 1e2, dim)
    shift = offset(rng)
    constant = float(np.sum(_lgamma(shape) - shape * np.log(rate)))

    def log_prob(values):
        g = values["g"]
        each = to(shape - 1, g) * tf.math.log(g) - to(rate, g) * g
        return tf.reduce_sum(each, axis=-1) + to(shift, g)

    def sampler(num_samples, generator):
        return {"g": generator.gamma(shape, 1.0 / rate, (num_samples, dim))}

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        shift + constant,
        shapes={"g": (dim,)},
        constraints={"g": "positive"},
        is_representable=dim == 1 or shape.min() >= SOFT,
        about={"D": dim, "K": 1, "smallest": float(shape.min())},
    )


@FAMILIES.register("dirichlet")
def dirichlet(rng: np.random.Generator) -> KnownPosterior:
    """A Dirichlet with 2 to 8 entries, in the measure of its first n - 1 coordinates."""
    size = int(rng.integers(2, 9))
    concentration = log_uniform(rng, *SHAPES, size)
    shift = offset(rng)
    constant = float(_lgamma(concentration).sum() - math.lgamma(concentration.sum()))

    def log_prob(values):
        w = values["w"]
        return tf.reduce_sum(to(concentration - 1, w) * tf.math.log(w), axis=-1) + to(shift, w)

    def sampler(num_samples, generator):
        # By logarithms: Gamma variables of small shape underflow.
        logs = np.log(generator.gamma(concentration + 1, size=(num_samples, size)))
        logs += np.log(generator.random((num_samples, size))) / concentration
        logs -= logs.max(axis=1, keepdims=True)
        w = np.exp(logs)
        return {"w": w / w.sum(axis=1, keepdims=True)}

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        shift + constant,
        shapes={"w": (size,)},
        constraints={"w": "simplex"},
        is_representable=size <= 2 or concentration.min() >= (0.1 if size <= 4 else 0.3),
        about={"D": size - 1, "K": 1, "smallest": float(concentration.min())},
    )


@FAMILIES.register("truncated_normal")
def truncated_normal(rng: np.random.Generator) -> KnownPosterior:
    """1 to 6 independent normals, each cut off on one side or both, some far out."""
    dim = int(rng.integers(1, 7))
    scale = log_uniform(rng, 1e-2, 1e2, dim)
    low = rng.uniform(-3.0, 2.5, dim)  # in standard deviations
    high = low + log_uniform(rng, 0.3, 6.0, dim)
    loc = scale * rng.normal(0.0, 3.0, dim)
    shift = offset(rng)
    cdf = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2.0)))
    left, mass = cdf(low), cdf(high) - cdf(low)
    constant = float(np.sum(np.log(mass * scale) + 0.5 * math.log(2 * math.pi)))
    grid = np.linspace(-3.0, 8.5, 200_001)
    below = cdf(grid)

    def log_prob(values):
        y = values["y"]
        each = tf.square((y - to(loc, y)) / to(scale, y))
        return -0.5 * tf.reduce_sum(each, axis=-1) + to(shift, y)

    def sampler(num_samples, generator):
        u = left + mass * generator.random((num_samples, dim))
        z = np.interp(u, below, grid)
        return {"y": loc + scale * np.clip(z, low, high)}

    bounds = {"low": (loc + scale * low).tolist(), "high": (loc + scale * high).tolist()}
    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        shift + constant,
        shapes={"y": (dim,)},
        constraints={"y": {"name": "interval"} | bounds},
        is_representable=True,
        about={"D": dim, "K": 1},
    )


@FAMILIES.register("lkj")
def lkj(rng: np.random.Generator) -> KnownPosterior:
    """A correlation matrix of 2 to 4 rows with density |R|^(eta - 1), eta from 0.3 to 20."""
    size = int(rng.integers(2, 5))
    eta = float(log_uniform(rng, 0.3, 20.0))
    shift = offset(rng)

    def normalized(R):
        return tfd.LKJ(size, to(eta, R)).log_prob(R)

    def log_prob(values):
        return normalized(values["R"]) + to(shift, values["R"])

    def sampler(num_samples, generator):
        seed = generator.integers(10**9, size=2).astype(np.int32)
        draws = tfd.LKJ(size, tf.constant(eta, tf.float64)).sample(num_samples, seed=seed)
        return {"R": draws.numpy()}

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        shift,
        shapes={"R": (size, size)},
        constraints={"R": "correlation"},
        is_representable=eta >= 2.0,
        about={"D": size * (size - 1) // 2, "K": 1, "eta": eta},
    )
