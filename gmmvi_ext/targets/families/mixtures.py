"""Mixtures whose components and weights are known: Gaussian, Student-t, grids, exchangeable means.

    p(x) = sum_k w_k |L_k|^-1 f(L_k^-1 (x - mu_k)),     f normal or Student-t

Modes are the components (a point belongs to the one most likely to have drawn it), so that their
masses are known also where they overlap.
"""

import itertools
import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.targets.families.base import FAMILIES, KnownPosterior, log_uniform, offset, to

__all__ = ["Mixture", "random_mixture"]

NUM_MASS_DRAWS = 20_000
MIN_WEIGHT = 0.01
MAX_COMPONENTS = 60  # of what counts as representable


class Mixture:
    """A mixture as a normalized density with a sampler.

    Args:
      weights: [K].
      loc: [K, D].
      scale_tril: [K, D, D].
      degrees_of_freedom: of Student-t components; None for Gaussian ones.
    """

    def __init__(self, weights, loc, scale_tril, degrees_of_freedom: float | None = None):
        self.weights, self.loc, self.scale_tril = map(np.asarray, (weights, loc, scale_tril))
        self.dof = degrees_of_freedom
        self.count, self.dim = self.loc.shape
        self._inverse = np.linalg.inv(self.scale_tril)
        log_det = np.log(np.diagonal(self.scale_tril, axis1=1, axis2=2)).sum(axis=1)
        if self.dof is None:
            constant = -0.5 * self.dim * math.log(2 * math.pi)
        else:
            half = 0.5 * (self.dof + self.dim)
            constant = math.lgamma(half) - math.lgamma(0.5 * self.dof)
            constant -= 0.5 * self.dim * math.log(self.dof * math.pi)
        self._constants = np.log(self.weights) + constant - log_det

    def component_log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log w_k f_k, [N, K]."""
        offsets = x[:, tf.newaxis] - to(self.loc, x)
        whitened = tf.einsum("nkd,ked->nke", offsets, to(self._inverse, x))
        square = tf.reduce_sum(tf.square(whitened), axis=-1)
        if self.dof is None:
            return to(self._constants, x) - 0.5 * square
        tail = tf.math.log1p(square / to(self.dof, x))
        return to(self._constants, x) - to(0.5 * (self.dof + self.dim), x) * tail

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """Normalized log density, [N]."""
        return tf.reduce_logsumexp(self.component_log_prob(x), axis=1)

    def sample(self, num_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Draws, [N, D]."""
        index = rng.choice(self.count, num_samples, p=self.weights)
        noise = rng.standard_normal((num_samples, self.dim))
        if self.dof is not None:
            noise *= np.sqrt(self.dof / rng.chisquare(self.dof, (num_samples, 1)))
        draws = np.empty_like(noise)
        for k in range(self.count):
            own = index == k
            draws[own] = self.loc[k] + noise[own] @ self.scale_tril[k].T
        return draws

    def mode_of(self, x) -> np.ndarray:
        """The component most likely to have drawn each point, [N]."""
        parts = np.array_split(np.asarray(x, np.float64), max(1, len(x) // 5000))
        logs = [self.component_log_prob(tf.constant(part)).numpy() for part in parts]
        return np.concatenate(logs).argmax(axis=1)

    def mode_masses(self) -> np.ndarray:
        """Mass of the points that belong to every component, [K]."""
        if self.count == 1:
            return np.ones(1)
        index = self.mode_of(self.sample(NUM_MASS_DRAWS, np.random.default_rng(1)))
        return np.bincount(index, minlength=self.count) / len(index)

    def posterior(self, rng, about: dict, *, is_representable: bool, **changes) -> KnownPosterior:
        """This mixture with a constant added."""
        shift = offset(rng)
        given = {
            "log_prob": lambda x: self.log_prob(x) + to(shift, x),
            "sampler": self.sample,
            "num_dimensions": self.dim,
            "mode_masses": self.mode_masses(),
            "mode_of": self.mode_of,
        } | changes
        about = {"D": self.dim, "K": self.count} | about
        return KnownPosterior(
            "",
            0,
            log_normalizer=shift,
            is_representable=is_representable,
            about=about,
            **given,
        )


def random_mixture(
    rng: np.random.Generator,
    *,
    max_components: int = 30,
    max_dimensions: int = 50,
    scales: tuple[float, float] = (1e-3, 1e3),
    max_condition: float = 1e4,
    max_distance: float = 1000.0,
    degrees_of_freedom: float | None = None,
) -> tuple[Mixture, dict]:
    """A mixture of random size, scale, shape and distances, and what it is like."""
    count = round(log_uniform(rng, 1.0, max_components + 0.49))
    dim = round(log_uniform(rng, 1.0, max_dimensions + 0.49))
    scale, distance = log_uniform(rng, *scales), log_uniform(rng, 3.0, max_distance)
    condition = log_uniform(rng, 1.0, max_condition)
    factors = []
    for _ in range(count):
        rotation, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
        spread = condition ** (0.5 * rng.uniform(-0.5, 0.5, dim)) if dim > 1 else np.ones(1)
        own = scale * log_uniform(rng, 0.5, 2.0)
        covariance = (rotation * (own * spread) ** 2) @ rotation.T
        factors.append(np.linalg.cholesky(covariance))
    reach = distance / max(1.0, math.sqrt(dim / 6.0))  # two means are about `distance` sd apart
    loc = scale * (3.0 * rng.standard_normal(dim) + reach * rng.uniform(-0.5, 0.5, (count, dim)))
    share = MIN_WEIGHT if count * MIN_WEIGHT < 1 else 0.5 / count
    weights = share + (1.0 - share * count) * rng.dirichlet(np.ones(count))
    about = {"scale": scale, "distance": distance, "condition": condition}
    mixture = Mixture(weights / weights.sum(), loc, np.stack(factors), degrees_of_freedom)
    return mixture, about


@FAMILIES.register("gaussian_mixture")
def gaussian_mixture(rng: np.random.Generator) -> KnownPosterior:
    """1 to 30 Gaussians in 1 to 50 dimensions, up to 1000 sd apart, condition up to 1e4."""
    mixture, about = random_mixture(rng)
    return mixture.posterior(rng, about, is_representable=True)


@FAMILIES.register("student_t_mixture")
def student_t_mixture(rng: np.random.Generator) -> KnownPosterior:
    """1 to 10 Student-t components with 3 to 30 degrees of freedom in 1 to 20 dimensions."""
    dof = float(log_uniform(rng, 3.0, 30.0))
    mixture, about = random_mixture(
        rng,
        max_components=10,
        max_dimensions=20,
        scales=(1e-2, 1e2),
        max_condition=100.0,
        max_distance=100.0,
        degrees_of_freedom=dof,
    )
    # A t needs some Gaussians of growing width, more where its tails are heavy or wide.
    needed = mixture.count * (2 + 12.0 / dof + mixture.dim / 5.0)
    about |= {"degrees_of_freedom": dof}
    return mixture.posterior(rng, about, is_representable=needed <= MAX_COMPONENTS and dof >= 5)


@FAMILIES.register("grid_of_modes")
def grid_of_modes(rng: np.random.Generator) -> KnownPosterior:
    """4 to 400 Gaussians on a square grid in the plane, 5 to 50 sd apart."""
    side = round(log_uniform(rng, 2.0, 20.4))
    spacing, scale = log_uniform(rng, 5.0, 50.0), log_uniform(rng, 0.1, 10.0)
    steps = (np.arange(side) - 0.5 * (side - 1)) * spacing * scale
    loc = np.array(list(itertools.product(steps, steps))) + scale * rng.normal(0.0, 5.0, 2)
    count = side * side
    weights = (
        np.full(count, 1.0 / count) if rng.random() < 0.5 else rng.dirichlet(np.full(count, 5))
    )
    factors = np.broadcast_to(scale * np.eye(2), (count, 2, 2))
    mixture = Mixture(weights, loc, factors)
    about = {"spacing": spacing, "scale": scale}
    return mixture.posterior(rng, about, is_representable=count <= MAX_COMPONENTS)


# Data points for each number of means: all K^n ways to assign them are summed over.
NUM_DATA = {2: 10, 3: 7, 4: 6, 5: 5}
PRIOR_SD = 8.0


@FAMILIES.register("exchangeable_means")
def exchangeable_means(rng: np.random.Generator) -> KnownPosterior:
    """Means of a mixture of K = 2 to 5 equal normals, of few data: K! orders of equal mass.

    The posterior is exact: given which component drew each of the n data the means are independent
    normals, and the K^n assignments have closed-form probabilities.
    """
    count = int(rng.integers(2, 6))
    gap = log_uniform(rng, 5.0, 30.0)
    centers = gap * (np.arange(count) - 0.5 * (count - 1))
    num = NUM_DATA[count]
    data = centers[np.arange(num) % count] + rng.standard_normal(num)
    prior_sd = max(PRIOR_SD, float(np.abs(centers).max()))
    shift = offset(rng)
    constant = shift - num * math.log(count)

    def log_prob(values):
        mu = values["mu"]  # [N, K]
        each = -0.5 * tf.square(to(data, mu)[:, tf.newaxis] - mu[:, tf.newaxis])
        likelihood = tf.reduce_logsumexp(each, axis=-1) - to(0.5 * math.log(2 * math.pi), mu)
        prior = -0.5 * tf.square(mu / to(prior_sd, mu))
        prior -= to(0.5 * math.log(2 * math.pi) + math.log(prior_sd), mu)
        total = tf.reduce_sum(likelihood, axis=-1) + tf.reduce_sum(prior, axis=-1)
        return total + to(constant, mu)

    log_terms, mean, spread = _assignments(data, count, prior_sd)
    top = log_terms.max()
    shares = np.exp(log_terms - top)
    log_z = float(top + math.log(shares.sum())) + constant
    shares /= shares.sum()
    orders = {order: i for i, order in enumerate(itertools.permutations(range(count)))}

    def sampler(num_samples, generator):
        index = generator.choice(len(shares), num_samples, p=shares)
        noise = generator.standard_normal((num_samples, count))
        return {"mu": mean[index] + spread[index] * noise}

    def mode_of(values):
        ranks = np.argsort(np.asarray(values["mu"]), axis=1)
        return np.array([orders[tuple(rank)] for rank in ranks.tolist()])

    return KnownPosterior(
        "",
        0,
        log_prob,
        sampler,
        log_z,
        shapes={"mu": (count,)},
        mode_masses=np.full(len(orders), 1.0 / len(orders)),
        mode_of=mode_of,
        is_representable=len(orders) <= MAX_COMPONENTS,
        about={"D": count, "K": len(orders), "gap": gap, "num_data": num},
    )


def _assignments(data: np.ndarray, count: int, prior_sd: float) -> tuple[np.ndarray, ...]:
    """Log probability [A], posterior means and sds [A, K] for every way to assign the data."""
    ways = np.array(list(itertools.product(range(count), repeat=len(data))))  # [A, n]
    members = ways[:, :, None] == np.arange(count)  # [A, n, K]
    size = members.sum(axis=1)
    total = np.einsum("ank,n->ak", members, data)
    precision = size + prior_sd**-2
    mean = total / precision
    log_terms = 0.5 * (total**2 / precision - np.log(precision * prior_sd**2)).sum(axis=1)
    log_terms -= 0.5 * (data**2).sum() + 0.5 * len(data) * math.log(2 * math.pi)
    return log_terms, mean, precision**-0.5
