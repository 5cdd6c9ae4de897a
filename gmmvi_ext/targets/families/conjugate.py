"""Posteriors of conjugate models: regression, counts, rates, proportions; log Z is the evidence."""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.families.base import FAMILIES, KnownPosterior, log_uniform, to

__all__: list[str] = []

LOG_2_PI = math.log(2 * math.pi)


@FAMILIES.register("normal_inverse_gamma", "linear_regression")
def normal_inverse_gamma(rng: np.random.Generator) -> KnownPosterior:
    """Linear regression with 1 to 8 coefficients and an unknown variance, 5 to 200 data.

    beta | v ~ N(0, v g I), v ~ InverseGamma(2, 1); y ~ N(X beta, v).
    """
    dim, num = int(rng.integers(1, 9)), int(log_uniform(rng, 5.0, 200.0))
    design = rng.standard_normal((num, dim)) * log_uniform(rng, 0.1, 10.0, dim)
    design[:, 1:] += rng.uniform(0.0, 0.9) * design[:, :1]
    noise, g, a, b = float(log_uniform(rng, 0.3, 3.0)), 10.0, 2.0, 1.0
    y = design @ rng.standard_normal(dim) + noise * rng.standard_normal(num)
    precision = design.T @ design + np.eye(dim) / g
    mean = np.linalg.solve(precision, design.T @ y)
    a_post = a + 0.5 * num
    b_post = b + 0.5 * float(y @ y - mean @ precision @ mean)
    log_det = np.linalg.slogdet(precision)[1] + dim * math.log(g)
    log_z = math.lgamma(a_post) - math.lgamma(a) + a * math.log(b) - a_post * math.log(b_post)
    log_z -= 0.5 * (num * LOG_2_PI + log_det)
    factor = np.linalg.cholesky(np.linalg.inv(precision))

    def log_prob(values):
        beta, v = values["beta"], values["v"]
        residual = to(y, v) - tf.linalg.matvec(to(design, v), beta)
        square = tf.reduce_sum(tf.square(residual), -1) + tf.reduce_sum(beta**2, -1) / to(g, v)
        log_v = tf.math.log(v)
        constant = a * math.log(b) - math.lgamma(a) - 0.5 * (num + dim) * LOG_2_PI
        constant -= 0.5 * dim * math.log(g)
        power = to(a + 1 + 0.5 * (num + dim), v)
        return to(constant, v) - power * log_v - (to(b, v) + 0.5 * square) / v

    def sampler(num_samples, generator):
        v = b_post / generator.gamma(a_post, size=num_samples)
        noise = generator.standard_normal((num_samples, dim)) @ factor.T
        return {"beta": mean + np.sqrt(v)[:, None] * noise, "v": v}

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        float(log_z),
        shapes={"beta": (dim,), "v": ()},
        constraints={"v": "positive"},
        is_representable=True,
        about={"D": dim + 1, "K": 1, "num_data": num},
    )


@FAMILIES.register("dirichlet_multinomial")
def dirichlet_multinomial(rng: np.random.Generator) -> KnownPosterior:
    """Proportions of 2 to 8 classes after 1 to 1000 observations (in a given order)."""
    size = int(rng.integers(2, 9))
    prior = np.full(size, float(rng.choice([0.5, 1.0, 2.0])))
    total = int(log_uniform(rng, 1.0, 1000.0))
    counts = rng.multinomial(total, rng.dirichlet(np.full(size, 2.0)))
    lgamma = np.vectorize(math.lgamma)
    constant = math.lgamma(prior.sum()) - lgamma(prior).sum()
    log_z = constant + lgamma(prior + counts).sum() - math.lgamma(prior.sum() + total)

    def log_prob(values):
        w = values["w"]
        each = to(prior + counts - 1, w) * tf.math.log(w)
        return tf.reduce_sum(each, axis=-1) + to(constant, w)

    def sampler(num_samples, generator):
        return {"w": generator.dirichlet(prior + counts, num_samples)}

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        float(log_z),
        shapes={"w": (size,)},
        constraints={"w": "simplex"},
        is_representable=True,
        about={"D": size - 1, "K": 1, "num_data": total},
    )


@FAMILIES.register("poisson_gamma")
def poisson_gamma(rng: np.random.Generator) -> KnownPosterior:
    """1 to 8 rates with Gamma priors after Poisson counts, zeros included."""
    dim = int(rng.integers(1, 9))
    a, b = float(log_uniform(rng, 0.3, 3.0)), float(log_uniform(rng, 0.1, 10.0))
    exposure = log_uniform(rng, 0.1, 100.0, dim)
    counts = rng.poisson(exposure * rng.gamma(a, 1.0 / b, dim))
    shape, rate = a + counts, b + exposure
    lgamma = np.vectorize(math.lgamma)
    constant = float(dim * (a * math.log(b) - math.lgamma(a)))
    constant += float((counts * np.log(exposure) - lgamma(counts + 1.0)).sum())
    log_z = constant + float((lgamma(shape) - shape * np.log(rate)).sum())

    def log_prob(values):
        r = values["rate"]
        each = to(shape - 1, r) * tf.math.log(r) - to(rate, r) * r
        return tf.reduce_sum(each, axis=-1) + to(constant, r)

    def sampler(num_samples, generator):
        return {"rate": generator.gamma(shape, 1.0 / rate, (num_samples, dim))}

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        float(log_z),
        shapes={"rate": (dim,)},
        constraints={"rate": "positive"},
        is_representable=True,
        about={"D": dim, "K": 1},
    )


@FAMILIES.register("normal_mean_and_scale")
def normal_mean_and_scale(rng: np.random.Generator) -> KnownPosterior:
    """Mean and precision of normal data under a normal-gamma prior, 1 to 300 data far from zero."""
    num = int(log_uniform(rng, 1.0, 300.0))
    center, spread = float(rng.normal(0.0, 20.0)), float(log_uniform(rng, 0.1, 10.0))
    data = center + spread * rng.standard_normal(num)
    k, a, b = 0.01, 2.0, 1.0
    k_post, a_post = k + num, a + 0.5 * num
    mean = data.sum() / k_post
    b_post = b + 0.5 * float(data @ data - k_post * mean**2)
    log_z = math.lgamma(a_post) - math.lgamma(a) + a * math.log(b) - a_post * math.log(b_post)
    log_z += 0.5 * (math.log(k / k_post) - num * LOG_2_PI)
    # Sums of squares about the data's own mean: of few digits otherwise.
    own, within = float(data.mean()), float(((data - data.mean()) ** 2).sum())

    def log_prob(values):
        mu, t = values["mu"], values["tau"]
        square = to(num, t) * tf.square(mu - to(own, t)) + to(within, t) + to(k, t) * mu**2
        constant = a * math.log(b) - math.lgamma(a) + 0.5 * math.log(k)
        constant -= 0.5 * (num + 1) * LOG_2_PI
        power = to(a - 1 + 0.5 * (num + 1), t)
        return to(constant, t) + power * tf.math.log(t) - t * (to(b, t) + 0.5 * square)

    def sampler(num_samples, generator):
        tau = generator.gamma(a_post, 1.0 / b_post, num_samples)
        noise = generator.standard_normal(num_samples)
        return {"mu": mean + noise / np.sqrt(k_post * tau), "tau": tau}

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        float(log_z),
        shapes={"mu": (), "tau": ()},
        constraints={"tau": "positive"},
        is_representable=True,
        about={"D": 2, "K": 1, "num_data": num},
    )
