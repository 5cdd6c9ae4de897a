"""Families of known posteriors: log Z, sampler, moments and modes belong to the density."""

from math import lgamma, log, pi

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.constraints.edges import at_edge, beyond_held
from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.registry import UnknownNameError
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.families import FAMILIES, draw_posterior, flat

IMPROPER = {"improper_flat", "improper_singular"}
PROPER = sorted(set(FAMILIES) - IMPROPER)
NUM_KERNELS, NUM_DRAWS, DOF = 1000, 15_000, 4.0


def layout_of(known) -> PartsLayout:
    return PartsLayout(known.shapes, known.constraints, known.num_dimensions)


def target_of(known, dtype="float64") -> CallableTarget:
    return CallableTarget(known.log_prob, layout=layout_of(known), dtype=dtype)


def unconstrained(known, num_samples: int, seed: int = 0) -> np.ndarray:
    values = known.sample(num_samples, seed)
    values = {"x": values} if known.shapes is None else values
    tensors = {name: tf.constant(value, tf.float64) for name, value in values.items()}
    return layout_of(known).join(tensors).numpy()


def resolved_one(family: str, first: int = 0, most: int = 100):
    """A posterior of few dimensions whose draws keep their digits in float64."""
    for seed in range(first, first + 200):
        known = draw_posterior(family, seed)
        if known.about["D"] <= most:
            draws = [unconstrained(known, 20_000, seed) for seed in (2, 5)]
            x = tf.constant(np.concatenate(draws))
            layout = layout_of(known)
            lost = at_edge(layout, x) | beyond_held(layout, x)
            if not (np.any(lost) or not np.isfinite(x).all()):
                return known
    raise AssertionError(family)


def log_z_by_kernels(known) -> float:
    """Importance sampling from Student-t kernels at exact draws, in the unconstrained space.

    It is right only if sampler, density and log Z belong together.
    """
    target, rng = target_of(known), np.random.default_rng(3)
    centers = unconstrained(known, NUM_KERNELS, seed=5)
    dim = centers.shape[1]
    # Kernels as wide as the 20 nearest draws, each of its own width.
    square = ((centers[:, None] - centers[None]) ** 2).sum(-1)
    width = np.sqrt(np.sort(square, axis=1)[:, 20] / dim) + 1e-12
    index = rng.integers(NUM_KERNELS, size=NUM_DRAWS)
    noise = rng.standard_normal((NUM_DRAWS, dim))
    noise *= np.sqrt(DOF / rng.chisquare(DOF, (NUM_DRAWS, 1)))
    x = centers[index] + width[index, None] * noise
    constant = lgamma((DOF + dim) / 2) - lgamma(DOF / 2) - dim / 2 * log(DOF * pi)
    log_r = []
    for part in np.array_split(x, 15):
        scaled = ((part[:, None] - centers[None]) ** 2).sum(-1) / width**2
        each = constant - dim * np.log(width) - (DOF + dim) / 2 * np.log1p(scaled / DOF)
        log_r.append(np.logaddexp.reduce(each, axis=1) - log(NUM_KERNELS))
    ratios = target.log_prob(tf.constant(x)).numpy() - np.concatenate(log_r)
    return float(np.logaddexp.reduce(ratios) - log(NUM_DRAWS))


@pytest.mark.parametrize("family", PROPER)
def test_the_normalizer_belongs_to_density_and_sampler(family):
    # Standard error of the ratios about .02; a factor or a sign forgotten is more than 0.2.
    known = resolved_one(family, most=3)
    assert abs(log_z_by_kernels(known) - known.log_normalizer) < 0.1, known.about


@pytest.mark.parametrize("family", PROPER)
def test_the_expected_score_is_zero_in_any_dimension(family):
    if family == "discontinuous":
        pytest.skip("its score has a delta function at the step")
    known = resolved_one(family, first=4)
    x = unconstrained(known, 20_000, seed=2)
    _, score = target_of(known).log_prob_and_grad(tf.constant(x))
    score = score.numpy()
    assert np.isfinite(score).all()
    error = score.mean(axis=0) / (score.std(axis=0) / np.sqrt(len(x)) + 1e-300)
    assert np.abs(error).max() < 6.0  # 5 sigma over some fifty coordinates: 1e-4 of false alarms


@pytest.mark.parametrize("family", PROPER)
@pytest.mark.parametrize("seed", [0, 1])
def test_values_and_gradients_are_finite_in_both_formats(family, seed):
    known = draw_posterior(family, seed)
    x = unconstrained(known, 500)
    x = x[np.isfinite(x).all(axis=1)]
    wide, _ = target_of(known).log_prob_and_grad(tf.constant(x))
    values, grads = target_of(known, "float32").log_prob_and_grad(tf.constant(x, tf.float32))
    assert np.isfinite(values).all() and np.isfinite(grads).all()
    wide, values = wide.numpy(), values.numpy()
    size = np.maximum(np.abs(wide), 1.0)
    assert np.quantile(np.abs(values - wide) / size, 0.95) < 0.02


@pytest.mark.parametrize("family", PROPER)
def test_modes_have_the_mass_that_is_told(family):
    known = draw_posterior(family, 2)
    if not len(known.mode_masses):
        pytest.skip("it does not count modes")
    assert known.mode_masses.sum() == pytest.approx(1.0)
    found = known.mode_of(known.sample(20_000, seed=9))
    share = np.bincount(found, minlength=len(known.mode_masses)) / 20_000
    assert np.abs(share - known.mode_masses).max() < 0.02


def test_moments_are_those_of_a_known_mixture():
    known = draw_posterior("gaussian_mixture", 1)
    mean, sd = known.moments
    draws = flat(known.sample(50_000, seed=8))
    np.testing.assert_allclose((draws.mean(0) - mean) / sd, 0.0, atol=0.03)
    np.testing.assert_allclose(draws.std(0) / sd, 1.0, atol=0.05)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_seed_gives_one_posterior(family):
    one, same, other = (draw_posterior(family, seed) for seed in (3, 3, 4))
    assert one.about == same.about and one.log_normalizer == same.log_normalizer
    assert (one.family, one.seed) == (family, 3)
    assert other.log_normalizer != one.log_normalizer or family in IMPROPER


@pytest.mark.parametrize("family", sorted(IMPROPER))
@pytest.mark.parametrize("seed", range(6))
def test_improper_densities_have_no_draws(family, seed):
    known = draw_posterior(family, seed)
    assert not known.is_proper and not known.is_representable
    with pytest.raises(ValueError, match="cannot be normalized"):
        known.sample(10)
    x = tf.random.stateless_normal([50, known.num_dimensions], [1, 2], dtype=tf.float64)
    assert np.isfinite(target_of(known).log_prob(x)).all()


def test_an_unknown_family_is_told_with_those_there_are():
    with pytest.raises(UnknownNameError, match="gaussian_mixture"):
        draw_posterior("gausian_mixture", 0)
