"""Improper densities, which nobody should trust a fit of, and discontinuous ones."""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.families.base import FAMILIES, KnownPosterior, log_uniform, offset, to

__all__: list[str] = []


def _rotation(rng: np.random.Generator, dim: int) -> np.ndarray:
    """A random rotation, or none: trouble along an axis is the easier case."""
    if dim == 1 or rng.random() < 0.3:
        return np.eye(dim)
    return np.linalg.qr(rng.standard_normal((dim, dim)))[0]


def _improper(log_prob, dim: int, kind: str) -> KnownPosterior:
    about = {"D": dim, "K": 1, "kind": kind}
    return KnownPosterior(
        "", 0, log_prob, None, None, num_dimensions=dim, is_representable=False, about=about
    )


@FAMILIES.register("improper_flat")
def improper_flat(rng: np.random.Generator) -> KnownPosterior:
    """Normal in all directions but one, along which the density is constant or falls too slowly."""
    dim = int(rng.integers(1, 9))
    rotation = _rotation(rng, dim)
    kind = str(rng.choice(["constant", "half", "slow", "floor"]))
    floor = float(log_uniform(rng, 1e-30, 1e-3))
    power = float(rng.uniform(0.2, 1.0))

    def log_prob(x):
        z = tf.linalg.matvec(to(rotation, x), x)
        square = tf.reduce_sum(tf.square(z[:, 1:]), axis=1)
        if kind == "constant":
            free = tf.zeros_like(square)
        elif kind == "half":
            free = -tf.math.softplus(-z[:, 0])
        elif kind == "slow":
            free = to(-0.5 * power, x) * tf.math.log1p(tf.square(z[:, 0]))
        else:  # a normal on a floor
            level = to(math.log(floor), x) + tf.zeros_like(square)
            free = tf.reduce_logsumexp(tf.stack([-0.5 * tf.square(z[:, 0]), level]), axis=0)
        return free - 0.5 * square

    return _improper(log_prob, dim, kind)


@FAMILIES.register("improper_singular")
def improper_singular(rng: np.random.Generator) -> KnownPosterior:
    """A density that rises to infinity at a point, too fast to be normalized."""
    dim = int(rng.integers(1, 6))
    rotation, center = _rotation(rng, dim), rng.standard_normal(dim)
    excess = float(rng.uniform(0.0, 2.0))
    used = int(rng.integers(1, dim + 1))  # the singular set has dim - used dimensions

    def log_prob(x):
        z = tf.linalg.matvec(to(rotation, x), x - to(center, x))
        near = tf.reduce_sum(tf.square(z[:, :used]), axis=1)
        return to(-0.5 * (used + excess), x) * tf.math.log(near) - 0.5 * tf.reduce_sum(z**2, axis=1)

    return _improper(log_prob, dim, f"1/r^{used + excess:.2f} in {used}")


@FAMILIES.register("discontinuous")
def discontinuous(rng: np.random.Generator) -> KnownPosterior:
    """A normal with a step of 0.5 to 5 nats, or to zero, across a plane; 1 to 8 dimensions."""
    dim = int(rng.integers(1, 9))
    rotation, scale = _rotation(rng, dim), float(log_uniform(rng, 0.1, 10.0))
    cut = float(rng.normal(0.0, 0.7))
    is_hard = bool(rng.random() < 0.3)
    step = float(rng.uniform(0.5, 5.0))
    shift = offset(rng)
    above = 0.5 * math.erfc(cut / math.sqrt(2.0))
    low_factor = 0.0 if is_hard else math.exp(-step)
    mass = above + low_factor * (1.0 - above)

    def log_prob(x):
        z = tf.linalg.matvec(to(rotation, x), x) / to(scale, x)
        low = to(-np.inf if is_hard else -step, x)
        factor = tf.where(z[:, 0] > to(cut, x), tf.zeros_like(low), low)
        return to(shift, x) - 0.5 * tf.reduce_sum(tf.square(z), axis=1) + factor

    def sampler(num_samples, generator):
        drawn = np.zeros((0, dim))
        while len(drawn) < num_samples:
            z = generator.standard_normal((2 * num_samples, dim))
            kept = (z[:, 0] > cut) | (generator.random(len(z)) < low_factor)
            drawn = np.concatenate([drawn, z[kept]])
        return scale * drawn[:num_samples] @ rotation

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        float(shift + math.log(mass) + dim * (0.5 * math.log(2 * math.pi) + math.log(scale))),
        num_dimensions=dim,
        is_representable=not is_hard and step <= 2.0,
        about={"D": dim, "K": 1, "step": math.inf if is_hard else step},
    )
