"""Mixtures seen through a map of known Jacobian: bananas, funnels, sinh-arcsinh.

    y = T(x),   log p_y(y) = log p_x(T^-1(y)) + log |d T^-1 / dy|

Banana and funnel are triangular, the sinh-arcsinh map (Jones and Pewsey 2009) is elementwise:
T(x) = sinh((arcsinh(x) + skewness) tailweight), in units of the mixture's scale.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.families.base import FAMILIES, KnownPosterior, log_uniform, to
from gmmvi_ext.targets.families.mixtures import Mixture, random_mixture

__all__: list[str] = []


def _base(rng, *, max_components: int = 3, max_dimensions: int = 10, min_dimensions: int = 1):
    """A mixture of unit scale with a few modes near each other."""
    while True:
        mixture, about = random_mixture(
            rng,
            max_components=max_components,
            max_dimensions=max_dimensions,
            scales=(1.0, 1.0001),
            max_condition=10.0,
            max_distance=12.0,
        )
        if mixture.dim >= min_dimensions:
            loc = mixture.loc - mixture.weights @ mixture.loc
            return Mixture(mixture.weights, loc, mixture.scale_tril), about


def _warped(rng, mixture, about, *, forward, inverse, is_representable) -> KnownPosterior:
    """`mixture` through `forward` (NumPy); `inverse` gives x and its log-determinant."""
    plain = mixture.posterior(rng, about, is_representable=is_representable)

    def log_prob(y):
        x, log_det = inverse(y)
        return plain.log_prob(x) + log_det

    def mode_of(y):
        x, _ = inverse(tf.constant(np.asarray(y, np.float64)))
        return mixture.mode_of(x.numpy())

    def sampler(num_samples, generator):
        return forward(mixture.sample(num_samples, generator))

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        plain.log_normalizer,
        num_dimensions=mixture.dim,
        mode_masses=plain.mode_masses,
        mode_of=mode_of,
        is_representable=is_representable,
        about=plain.about,
    )


@FAMILIES.register("banana")
def banana(rng: np.random.Generator) -> KnownPosterior:
    """y_2 = x_2 + b (x_1^2 - 1) of a mixture in 2 to 10 dimensions, b from 0.05 to 1."""
    mixture, about = _base(rng, min_dimensions=2)
    bend = float(log_uniform(rng, 0.05, 1.0))
    width = float(np.sqrt(((mixture.scale_tril[:, 0] ** 2).sum(-1) + mixture.loc[:, 0] ** 2).max()))

    def forward(x):
        y = np.array(x)
        y[:, 1] += bend * (x[:, 0] ** 2 - 1.0)
        return y

    def inverse(y):
        second = y[:, 1:2] - to(bend, y) * (tf.square(y[:, :1]) - 1.0)
        return tf.concat([y[:, :1], second, y[:, 2:]], axis=1), tf.zeros_like(y[:, 0])

    return _warped(
        rng,
        mixture,
        about | {"bend": bend},
        forward=forward,
        inverse=inverse,
        is_representable=bend * width**2 * mixture.count <= 20.0 and mixture.dim <= 6,
    )


@FAMILIES.register("funnel")
def funnel(rng: np.random.Generator) -> KnownPosterior:
    """y_1 = x_1, y_i = x_i exp(c x_1) of a mixture in 2 to 10 dimensions, c from 0.1 to 1."""
    mixture, about = _base(rng, max_components=2, min_dimensions=2)
    rate = float(log_uniform(rng, 0.1, 1.0))
    width = float(np.sqrt(((mixture.scale_tril[:, 0] ** 2).sum(-1) + mixture.loc[:, 0] ** 2).max()))

    def forward(x):
        return np.concatenate([x[:, :1], x[:, 1:] * np.exp(rate * x[:, :1])], axis=1)

    def inverse(y):
        log_scale = to(rate, y) * y[:, :1]
        rest = y[:, 1:] * tf.exp(-log_scale)
        log_det = -to(mixture.dim - 1.0, y) * log_scale[:, 0]
        return tf.concat([y[:, :1], rest], axis=1), log_det

    return _warped(
        rng,
        mixture,
        about | {"rate": rate},
        forward=forward,
        inverse=inverse,
        is_representable=rate * width <= 1.0 and mixture.dim <= 5,
    )


@FAMILIES.register("sinh_arcsinh")
def sinh_arcsinh(rng: np.random.Generator) -> KnownPosterior:
    """Skew and other tails in every coordinate of a mixture in 1 to 10 dimensions."""
    mixture, about = _base(rng)
    skewness = rng.uniform(-0.6, 0.6, mixture.dim)
    weight = log_uniform(rng, 0.8, 1.3, mixture.dim)
    scale = float(log_uniform(rng, 1e-2, 1e2))

    def forward(x):
        return scale * np.sinh((np.arcsinh(x) + skewness) * weight)

    def inverse(y):
        unit = y / to(scale, y)
        inner = tf.asinh(unit) / to(weight, y) - to(skewness, y)
        log_det = tf.math.log(tf.cosh(inner)) - 0.5 * tf.math.log1p(tf.square(unit))
        log_det -= to(np.log(weight * scale), y)
        return tf.sinh(inner), tf.reduce_sum(log_det, axis=1)

    return _warped(
        rng,
        mixture,
        about | {"scale": scale},
        forward=forward,
        inverse=inverse,
        is_representable=mixture.dim * mixture.count <= 6,
    )
