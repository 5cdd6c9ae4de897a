"""Twenty small models for simulation-based calibration: a prior, a simulator, a density."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["MODELS", "Model"]

tfd = tfp.distributions
NUM = 12  # observations
X = np.linspace(-1.5, 1.5, NUM)


class Model(NamedTuple):
    """One model.

    Attributes:
      priors: name -> distribution of a parameter (scalar, or of a vector).
      likelihood: parameters, each [N, 1] (vectors [N, 1, d]) -> distribution of the data, [N, n].
      constraints: as `gmmvi_ext.fit` takes them.
    """

    priors: dict[str, Callable]
    likelihood: Callable
    constraints: dict[str, str]

    def draw(self, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Parameters of the prior and data of them, in float64."""
        seeds = tf.random.split([seed, 17], len(self.priors) + 1)
        values = {
            name: prior(tf.float64).sample(seed=each)
            for (name, prior), each in zip(self.priors.items(), tf.unstack(seeds)[1:], strict=True)
        }
        given = {name: value[tf.newaxis, tf.newaxis] for name, value in values.items()}
        data = self.likelihood(given, tf.float64).sample(seed=seeds[0])
        return {name: value.numpy() for name, value in values.items()}, data.numpy()[0]

    @property
    def shapes(self) -> dict:
        """As `gmmvi_ext.fit` takes them."""
        return {
            name: tuple(prior(tf.float64).event_shape.as_list())
            for name, prior in self.priors.items()
        }

    def log_density(self, values, data):
        """Joint log density of parameters [N, ...] and one data set [n], [N]."""
        dtype = data.dtype
        total = tf.add_n([p(dtype).log_prob(values[name]) for name, p in self.priors.items()])
        given = {name: value[:, tf.newaxis] for name, value in values.items()}
        return total + tf.reduce_sum(self.likelihood(given, dtype).log_prob(data), axis=1)


def of(family, *arguments) -> Callable:
    """A distribution in the dtype it is asked for."""
    return lambda dtype: family(*(tf.constant(each, dtype) for each in arguments))


def repeated(family, *shapes) -> Callable:
    """NUM independent observations: the arguments are functions of the parameters."""

    def likelihood(p, dtype):
        ones = tf.ones([1, NUM], dtype)
        return family(*(ones * f(p, dtype) for f in shapes))

    return likelihood


def value(name: str) -> Callable:
    return lambda p, dtype: p[name]


def number(constant: float) -> Callable:
    return lambda p, dtype: tf.constant(constant, dtype)


def line(p, dtype):
    return p["a"] + p["b"] * tf.constant(X, dtype)


def two_means(p, dtype):
    """Half of the data around each of two exchangeable means."""
    means = tf.concat([p["m1"], p["m2"]], axis=1)[:, tf.newaxis, :] * tf.ones([1, NUM, 1], dtype)
    mixing = tfd.Categorical(logits=tf.zeros_like(means))
    return tfd.MixtureSameFamily(mixing, tfd.Normal(means, tf.ones_like(means)))


def groups(p, dtype):
    """Three groups of four around a common mean, non-centered."""
    mean = p["mu"][:, :, tf.newaxis] + p["tau"][:, :, tf.newaxis] * p["z"]  # [N, 1, 3]
    return tfd.Normal(tf.repeat(mean[:, 0], NUM // 3, axis=1), tf.constant(1.0, dtype))


def categories(p, dtype):
    return tfd.Categorical(probs=tf.repeat(p["p"], NUM, axis=1))


NORMAL, WIDE = of(tfd.Normal, 0.0, 1.0), of(tfd.Normal, 0.0, 3.0)
POSITIVE, HALF = of(tfd.Gamma, 3.0, 2.0), of(tfd.HalfNormal, 1.0)
LINE = {"a": NORMAL, "b": NORMAL}
MODELS = {
    "normal_mean": Model({"m": WIDE}, repeated(tfd.Normal, value("m"), number(1.0)), {}),
    "normal": Model(
        {"m": WIDE, "s": HALF}, repeated(tfd.Normal, value("m"), value("s")), {"s": "positive"}
    ),
    "normal_scale": Model(
        {"s": HALF}, repeated(tfd.Normal, number(0.0), value("s")), {"s": "positive"}
    ),
    "student": Model({"m": WIDE}, repeated(tfd.StudentT, number(4.0), value("m"), number(1.0)), {}),
    "cauchy": Model({"m": WIDE}, repeated(tfd.Cauchy, value("m"), number(1.0)), {}),
    "laplace": Model(
        {"m": WIDE, "s": POSITIVE},
        repeated(tfd.Laplace, value("m"), value("s")),
        {"s": "positive"},
    ),
    "coin": Model(
        {"p": of(tfd.Beta, 2.0, 2.0)},
        repeated(lambda p: tfd.Bernoulli(probs=p, dtype=p.dtype), value("p")),
        {"p": "interval(0, 1)"},
    ),
    "categories": Model({"p": of(tfd.Dirichlet, [2.0, 1.0, 3.0])}, categories, {"p": "simplex"}),
    "poisson": Model({"r": POSITIVE}, repeated(tfd.Poisson, value("r")), {"r": "positive"}),
    "exponential": Model({"r": POSITIVE}, repeated(tfd.Exponential, value("r")), {"r": "positive"}),
    "gamma": Model(
        {"k": POSITIVE, "r": POSITIVE},
        repeated(tfd.Gamma, value("k"), value("r")),
        {"k": "positive", "r": "positive"},
    ),
    "weibull": Model(
        {"k": POSITIVE, "s": POSITIVE},
        repeated(tfd.Weibull, value("k"), value("s")),
        {"k": "positive", "s": "positive"},
    ),
    "negative_binomial": Model(
        {"m": POSITIVE, "k": POSITIVE},
        repeated(
            tfd.NegativeBinomial.experimental_from_mean_dispersion,
            value("m"),
            lambda p, dtype: 1.0 / p["k"],
        ),
        {"m": "positive", "k": "positive"},
    ),
    "line": Model(LINE | {"s": HALF}, repeated(tfd.Normal, line, value("s")), {"s": "positive"}),
    "robust_line": Model(
        LINE | {"s": HALF},
        repeated(tfd.StudentT, number(3.0), line, value("s")),
        {"s": "positive"},
    ),
    "logistic": Model(LINE, repeated(lambda x: tfd.Bernoulli(logits=x, dtype=x.dtype), line), {}),
    "log_linear": Model(LINE, repeated(lambda x: tfd.Poisson(log_rate=x), line), {}),
    "decay": Model(
        {"a": POSITIVE, "k": HALF},
        repeated(
            tfd.Normal,
            lambda p, dtype: p["a"] * tf.exp(-p["k"] * tf.constant(X + 1.5, dtype)),
            number(0.3),
        ),
        {"a": "positive", "k": "positive"},
    ),
    "two_means": Model({"m1": WIDE, "m2": WIDE}, two_means, {}),
    "groups": Model(
        {
            "mu": WIDE,
            "tau": HALF,
            "z": lambda dtype: tfd.MultivariateNormalDiag(tf.zeros([3], dtype)),
        },
        groups,
        {"tau": "positive"},
    ),
}
