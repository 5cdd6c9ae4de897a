"""Proposals of new components by extrapolation from the present ones.

Draws of a mixture lie where it has components. Mass next to what is covered (further down the neck
of a funnel, along a tail, round the end of a banana) is never sampled, however long the fit goes
on. But the components show how the shape changes on the way there. The affine map that carries
component j to its neighbor k (of the nearest five, by KL divergence)

    T(x) = mu_k + A (x - mu_j),   A = L_k L_j^{-1},

carries k on to a candidate

    c = T(k):   mu_c = mu_k + A (mu_k - mu_j),   L_c = A L_k.

A few draws of c show whether the target p has mass there and the mixture q has not:

    mass_c = exp(E_c[log p - log c] - log Z)    a lower bound of the share of p, by Jensen
    gain_c = E_c[log p - log q] - log Z         0 for every c if q = p / Z

Candidates are added with the weight mass_c if mass_c >= 0.0005 and gain_c >= 1 nat, by draws that
they were not chosen by; first that with the largest mass_c gain_c, what is missing there in
KL(p || q). Only values of the target are needed, no gradients. The maps are triangular:
they preserve what is Gaussian given the coordinates before it.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import Components, DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures

__all__ = ["Proposal", "extrapolated", "nearest_components", "propose_components"]

NUM_NEIGHBORS = 5
MIN_WEIGHT = 1e-6  # components below it have not converged to a shape
NUM_SCREENING, NUM_DRAWS = 4, 16  # draws of each candidate, and of each that passes the screening
MIN_GAIN = 1.0  # nats
MIN_MASS = 5e-4
MIN_DISTANCE = 3.0  # nats of E_c[log c - log q] below which gain and mass exclude each other


class Proposal(NamedTuple):
    """Proposed components.

    Attributes:
      components: a mixture of the new components alone, with the log weights they are added with;
        None for none.
      num_evaluations: of the target.
    """

    components: Mixture | None
    num_evaluations: int


def propose_components(
    mixture: Mixture,
    log_prob_fn: Callable[[tf.Tensor], np.ndarray],
    *,
    log_evidence: float,
    max_evaluations: int,
    max_components: int,
    seed: tf.Tensor,
) -> Proposal:
    """Components that continue the mixture to where the target has mass.

    Args:
      mixture: with full or diagonal covariances.
      log_prob_fn: log density of the target, from [N, D] to [N]; may give values not finite.
      log_evidence: log Z, or an ELBO.
      max_evaluations: most evaluations, half of them to screen candidates (a random choice, where
        there are more), half to check the best of them with more draws.
      max_components: most new components.
      seed: [2] int32.
    """
    known = tf.where(mixture.log_weights > math.log(MIN_WEIGHT))[:, 0]
    mixture = Mixture(
        tf.nn.log_softmax(tf.cast(tf.gather(mixture.log_weights, known), tf.float64)),
        _gathered(mixture.components, known),
    )
    if len(known) < 2 or max_components < 1:
        return Proposal(None, 0)
    seeds = tf.random.split(seed, 3)
    candidates = extrapolated(mixture.components)
    order = tf.argsort(tf.random.stateless_uniform([int(candidates.num_components)], seeds[0]))
    screened = _ScoredCandidates(_gathered(candidates, order), mixture, NUM_SCREENING, seeds[1])
    # Without the target: what is covered, or no Gaussian within the range of numbers.
    is_far = np.nan_to_num(screened.distance(), nan=0.0, posinf=0.0) >= MIN_DISTANCE
    screened = screened.of(np.flatnonzero(is_far)[: max_evaluations // (2 * NUM_SCREENING)])
    count = screened.evaluate(log_prob_fn)
    score = screened.score(log_evidence, min_mass=0.0)
    promising = np.argsort(-score, kind="stable")[: max_evaluations // (2 * NUM_DRAWS)]
    promising = promising[score[promising] > 0]
    checked = _ScoredCandidates(
        _gathered(screened.components, promising), mixture, NUM_DRAWS, seeds[2]
    )
    count += checked.evaluate(log_prob_fn)
    taken, masses = checked.best(log_evidence, max_components)
    if not taken:
        return Proposal(None, count)
    return Proposal(
        Mixture(tf.constant(np.log(masses)), _gathered(checked.components, taken)), count
    )


def extrapolated(components: Components) -> Components:
    """T(k) of every component k and its nearest ones j, in float64; K times the neighbors."""
    loc, scale = (tf.cast(field, tf.float64) for field in components)
    near = nearest_components(components)
    last = tf.repeat(tf.range(tf.shape(near)[0]), tf.shape(near)[1])
    before = tf.reshape(near, [-1])
    shift = tf.gather(loc, last) - tf.gather(loc, before)
    end, start = tf.gather(scale, last), tf.gather(scale, before)
    if isinstance(components, DiagonalGaussians):
        ratio = end / start
        return DiagonalGaussians(tf.gather(loc, last) + ratio * shift, ratio * end)
    moved = tf.matmul(end, tf.linalg.triangular_solve(start, end))
    whitened = tf.linalg.triangular_solve(start, tf.expand_dims(shift, -1))
    return FullGaussians(tf.gather(loc, last) + tf.matmul(end, whitened)[..., 0], moved)


def nearest_components(components: Components, most: int = NUM_NEIGHBORS) -> tf.Tensor:
    """For every component k those with the smallest KL(k || j), nearest first, [K, most]."""
    loc, scale = (tf.cast(field, tf.float64) for field in components)
    num, dim = loc.shape
    family: type[DiagonalGaussians] | type[FullGaussians]
    if isinstance(components, DiagonalGaussians):
        family, covariance, precision = DiagonalGaussians, scale**2, 1.0 / scale**2
    else:
        family, covariance = FullGaussians, tf.matmul(scale, scale, transpose_b=True)
        inverse = tf.linalg.triangular_solve(scale, tf.eye(dim, batch_shape=[num], dtype=loc.dtype))
        precision = tf.matmul(inverse, inverse, transpose_a=True)
    flat = tf.reshape(covariance, [num, -1]), tf.reshape(precision, [num, -1])
    # KL up to what depends on k alone: minus E_k[log N_j].
    cross = 0.5 * tf.matmul(*flat, transpose_b=True) - family(loc, scale).log_prob(loc)
    cross = tf.where(tf.math.is_finite(cross), cross, math.inf)
    cross = tf.linalg.set_diag(cross, tf.fill([num], tf.constant(-math.inf, loc.dtype)))
    return tf.argsort(cross, axis=1, stable=True)[:, 1 : most + 1]


class _ScoredCandidates:
    """Draws of candidates, with the densities of the candidate, of the mixture and of the target.

    Attributes:
      components: C candidates.
      x: draws, in pairs around the mean, [C, S, D].
      log_c, log_q, log_p: log densities, [C, S].
    """

    def __init__(self, components: Components, mixture: Mixture, num_draws: int, seed: tf.Tensor):
        self.components = components
        dim = components.num_dimensions
        half = tf.random.stateless_normal([num_draws // 2, dim], seed, dtype=tf.float64)
        noise = tf.concat([half, -half], axis=0)
        scale = components[1]
        if isinstance(components, DiagonalGaussians):
            moved = tf.expand_dims(scale, 1) * noise
        else:
            moved = tf.einsum("cij,sj->csi", scale, noise)
        self.x = tf.expand_dims(components.loc, 1) + moved
        top = components.entropy() - 0.5 * dim
        self.log_c = (-tf.expand_dims(top, 1) - 0.5 * tf.reduce_sum(noise**2, axis=1)).numpy()
        flat = tf.reshape(self.x, [-1, dim])
        self.log_q = mixtures.log_prob(mixture, flat).numpy().reshape(self.log_c.shape)
        self.log_p = np.full_like(self.log_c, np.nan)

    def of(self, index) -> "_ScoredCandidates":
        """Some of the candidates with their draws."""
        part = object.__new__(_ScoredCandidates)
        part.components = _gathered(self.components, index)
        part.x = tf.gather(self.x, index)
        part.log_c, part.log_q, part.log_p = (
            each[index] for each in (self.log_c, self.log_q, self.log_p)
        )
        return part

    def distance(self) -> np.ndarray:
        """E_c[log c - log q], [C]."""
        return (self.log_c - self.log_q).mean(1)

    def evaluate(self, log_prob_fn) -> int:
        """Evaluates the target at all draws; how many they are."""
        if self.log_c.size:
            flat = tf.reshape(self.x, [-1, self.x.shape[-1]])
            values = np.asarray(log_prob_fn(flat), np.float64).reshape(self.log_c.shape)
            # A draw without a finite value rules its candidate out.
            self.log_p = np.where(np.isfinite(values), values, -np.inf)
        return self.log_c.size

    def mass(self, log_evidence: float) -> np.ndarray:
        """mass_c, [C]."""
        return np.exp(np.minimum((self.log_p - self.log_c).mean(1) - log_evidence, 0.0))

    def score(self, log_evidence: float, min_mass: float) -> np.ndarray:
        """mass_c gain_c, [C]; 0 where either is too small."""
        mass, gain = self.mass(log_evidence), (self.log_p - self.log_q).mean(1) - log_evidence
        return np.where((gain >= MIN_GAIN) & (mass >= min_mass), mass, 0.0) * np.maximum(gain, 0.0)

    def best(self, log_evidence: float, most: int) -> tuple[list[int], list[float]]:
        """Candidates to add and their masses, one by one: each covers what the next would."""
        mass = self.mass(log_evidence)
        taken: list[int] = []
        for _ in range(min(most, len(mass))):
            score = self.score(log_evidence, MIN_MASS)
            score[taken] = 0.0
            if not score.max() > 0:
                break
            taken.append(int(np.argmax(score)))
            self._add(taken[-1], mass[taken[-1]])
        return taken, mass[taken].tolist()

    def _add(self, index: int, weight: float) -> None:
        """The mixture with one of the candidates in it."""
        one = _gathered(self.components, [index])
        flat = tf.reshape(self.x, [-1, self.x.shape[-1]])
        added = one.log_prob(flat).numpy()[:, 0].reshape(self.log_q.shape)
        self.log_q = np.logaddexp(self.log_q, added + math.log(weight))


def _gathered(components: Components, index) -> Components:
    """Some of the components, in float64."""
    return type(components)(*(tf.cast(tf.gather(f, index), tf.float64) for f in components))
