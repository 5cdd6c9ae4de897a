"""Products of double wells, rings and shells: densities that are one-dimensional integrals.

    wells   p(x) ~ prod_i exp(-h ((x_i / s)^2 - 1)^2 + a_i x_i / s) N(rest; 0, s^2)      2^d modes
    shells  p(x) ~ exp(-(|x - c| - r)^2 / (2 w^2))

Normalizers and inverse distribution functions are taken from a grid of 40 000 points.
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.families.base import FAMILIES, KnownPosterior, log_uniform, offset, to

__all__: list[str] = []

NUM_GRID = 40_001
MAX_LISTED = 64  # modes: of more each has less mass than is looked for


def _tabulated(log_density, low: float, high: float):
    """log of the integral of exp(log_density), and the inverse distribution function."""
    grid = np.linspace(low, high, NUM_GRID)
    values = log_density(grid)
    top = values.max()
    mass = np.exp(values - top)
    steps = 0.5 * (mass[1:] + mass[:-1]) * (grid[1] - grid[0])
    cumulated = np.concatenate([[0.0], np.cumsum(steps)])

    def quantile(u):
        return np.interp(u * cumulated[-1], cumulated, grid)

    def share_below(x):
        return np.interp(x, grid, cumulated) / cumulated[-1]

    return float(top + math.log(cumulated[-1])), quantile, share_below


@FAMILIES.register("double_wells")
def double_wells(rng: np.random.Generator) -> KnownPosterior:
    """A product of 1 to 16 double wells, with up to 10 normal coordinates beside them."""
    num = int(rng.integers(1, 17))
    rest = int(rng.integers(0, 11))
    barrier, scale = log_uniform(rng, 3.0, 12.0), log_uniform(rng, 0.1, 10.0)
    tilt = rng.uniform(-0.3, 0.3, num) if rng.random() < 0.5 else np.zeros(num)
    shift = offset(rng)
    tables = [
        _tabulated(lambda u, a=a: -barrier * (u * u - 1) ** 2 + a * u, -3.0, 3.0) for a in tilt
    ]

    def log_prob(x):
        unit = x / to(scale, x)
        wells = to(-barrier, x) * tf.square(tf.square(unit[:, :num]) - 1.0)
        wells += to(tilt, x) * unit[:, :num]
        normal = -0.5 * tf.reduce_sum(tf.square(unit[:, num:]), axis=1)
        return tf.reduce_sum(wells, axis=1) + normal + to(shift, x)

    def sampler(num_samples, generator):
        u = generator.random((num, num_samples))
        wells = [table[1](row) for table, row in zip(tables, u, strict=True)]
        normal = generator.standard_normal((num_samples, rest))
        return scale * np.concatenate([np.transpose(wells), normal], axis=1)

    log_z = shift + sum(table[0] for table in tables) + 0.5 * rest * math.log(2 * math.pi)
    log_z += (num + rest) * math.log(scale)
    masses = np.ones(1)
    for table in tables:
        below = float(table[2](0.0))
        masses = np.multiply.outer(masses, [below, 1.0 - below]).ravel()
    is_listed = len(masses) <= MAX_LISTED

    def mode_of(x):
        return (np.asarray(x)[:, :num] > 0) @ (1 << np.arange(num - 1, -1, -1))

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        float(log_z),
        num_dimensions=num + rest,
        mode_masses=masses if is_listed else np.zeros(0),
        mode_of=mode_of if is_listed else None,
        is_representable=2**num <= 32,
        about={"D": num + rest, "K": 2**num, "barrier": barrier, "scale": scale},
    )


@FAMILIES.register("shells", "rings")
def shells(rng: np.random.Generator) -> KnownPosterior:
    """A ring in the plane or a shell in 3 to 8 dimensions, radius 2 to 20 widths."""
    dim = int(rng.choice([2, 2, 2, 3, 4, 6, 8]))
    ratio, width = log_uniform(rng, 2.0, 20.0), log_uniform(rng, 0.01, 10.0)
    center = width * rng.normal(0.0, 5.0, dim)
    radius = ratio * width
    shift = offset(rng)
    log_radial, quantile, _ = _tabulated(
        lambda r: (dim - 1) * np.log(np.maximum(r, 1e-300)) - 0.5 * (r - ratio) ** 2,
        0.0,
        ratio + 12.0,
    )
    log_surface = math.log(2.0) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)

    def log_prob(x):
        square = tf.reduce_sum(tf.square(x - to(center, x)), axis=1)
        # At the center the norm has no gradient; a density there is nil anyway.
        distance = tf.sqrt(tf.maximum(square, to(1e-12 * radius**2, x)))
        return to(shift, x) - 0.5 * tf.square((distance - to(radius, x)) / to(width, x))

    def sampler(num_samples, generator):
        direction = generator.standard_normal((num_samples, dim))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return center + width * quantile(generator.random(num_samples))[:, None] * direction

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        float(shift + log_radial + log_surface + dim * math.log(width)),
        num_dimensions=dim,
        is_representable=(dim == 2 and ratio <= 10) or (dim == 3 and ratio <= 3.5),
        about={"D": dim, "K": 1, "ratio": ratio, "scale": width},
    )
