"""Proposals of new components: the map, what is found, what is not, and at what cost."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.inference.component_adaptation.extrapolation import (
    NUM_DRAWS,
    NUM_SCREENING,
    extrapolated,
    nearest_components,
    propose_components,
)

SEED = tf.constant([3, 4], tf.int32)
FAMILIES = [FullGaussians, DiagonalGaussians]


def chain(family=FullGaussians, length: int = 5, dim: int = 3, seed: int = 0, step: float = 3.0):
    """Images of a Gaussian under an affine map done again and again: a neck that narrows."""
    rng = np.random.default_rng(seed)
    diagonal = np.diag(rng.uniform(0.6, 0.9, dim))
    if family is DiagonalGaussians:
        ratio, scale = diagonal, np.diag(rng.uniform(0.5, 1.5, dim))
    else:
        ratio = diagonal + 0.2 * np.tril(rng.standard_normal((dim, dim)), -1)
        scale = np.eye(dim) + 0.3 * np.tril(rng.standard_normal((dim, dim)), -1)
    shift, loc = step * np.ones(dim), np.zeros(dim)
    locs, scales = [], []
    for _ in range(length):
        locs.append(loc)
        scales.append(scale)
        loc, scale = ratio @ loc + shift, ratio @ scale
    scales = np.array(scales)
    if family is DiagonalGaussians:
        scales = np.diagonal(scales, axis1=1, axis2=2)
    return family(tf.constant(np.array(locs)), tf.constant(scales))


def first(components, count: int):
    return type(components)(*(field[:count] for field in components))


def mixture_of(components, weights=None) -> Mixture:
    count = int(components.num_components)
    weights = np.full(count, 1.0 / count) if weights is None else np.asarray(weights)
    return Mixture(tf.constant(np.log(weights)), components)


def target_of(mixture: Mixture, shift: float = 0.0):
    """Its log density as a function that counts what it is asked for."""

    def log_prob(x):
        log_prob.count += len(x)
        return mixtures.log_prob(mixture, x).numpy() + shift

    log_prob.count = 0
    return log_prob


def found_by(mixture, log_prob, log_evidence=0.0, max_evaluations=2000, most=6, seed=SEED):
    return propose_components(
        mixture,
        log_prob,
        log_evidence=log_evidence,
        max_evaluations=max_evaluations,
        max_components=most,
        seed=seed,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_two_steps_of_an_affine_map_lead_to_the_third(family):
    truth = chain(family, 3)
    candidates = extrapolated(first(truth, 2))  # of 1 by 0, and of 0 by 1
    for found, wanted in zip(candidates, truth, strict=True):
        np.testing.assert_allclose(found[1], wanted[2], atol=1e-12)


def test_candidates_against_numpy():
    components = chain(length=4)
    loc, scale = (field.numpy() for field in components)
    near = nearest_components(components).numpy()
    candidates = extrapolated(components)
    row = 0
    for k in range(4):
        for j in near[k]:
            ratio = scale[k] @ np.linalg.inv(scale[j])
            np.testing.assert_allclose(
                candidates.loc[row], loc[k] + ratio @ (loc[k] - loc[j]), atol=1e-12
            )
            np.testing.assert_allclose(candidates.scale_tril[row], ratio @ scale[k], atol=1e-12)
            row += 1
    assert row == len(candidates.loc)


@pytest.mark.parametrize("family", FAMILIES)
def test_nearest_components_have_the_smallest_divergence(family):
    components = chain(family, 6)
    near = nearest_components(components, 3).numpy()
    for k in range(6):
        same = family(*(tf.gather(field, [k] * 6) for field in components))
        divergence = same.kl_divergence(components).numpy()
        divergence[k] = np.inf
        np.testing.assert_array_equal(near[k], np.argsort(divergence)[:3])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_missing_end_of_a_neck_is_found_with_its_mass(family):
    truth = chain(family, step=5.0)
    weights = np.array([0.5, 0.25, 0.15, 0.06, 0.04])
    target = target_of(mixture_of(truth, weights), shift=7.0)
    # The last two are one step on from component 2: by 1, and by 0.
    rest = mixture_of(first(truth, 3), weights[:3] / weights[:3].sum())
    found = found_by(rest, target, log_evidence=7.0).components
    assert int(found.num_components) == 2
    order = np.argsort(found.components.loc[:, 0])
    for new, wanted in zip(found.components, truth, strict=True):
        np.testing.assert_allclose(np.asarray(new)[order], wanted[3:], atol=1e-9)
    # What their neighbors add is little, so that Jensen's bound is close.
    np.testing.assert_allclose(np.exp(found.log_weights)[order], weights[3:], rtol=0.1)
    fields = (tf.concat(pair, 0) for pair in zip(rest.components, found.components, strict=True))
    log_weights = tf.nn.log_softmax(tf.concat([rest.log_weights, found.log_weights], 0))
    assert found_by(Mixture(log_weights, family(*fields)), target, 7.0).components is None


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_found_where_the_mixture_is_the_target(seed):
    # Every gain is zero whatever the draws are: no false alarm.
    exact = mixture_of(chain(length=6, seed=seed))
    assert (
        found_by(exact, target_of(exact, 2.0), 2.0, seed=tf.constant([seed, 0])).components is None
    )


def test_too_little_mass_is_left_alone():
    truth = chain()
    weights = np.array([0.5, 0.3, 0.1997, 0.0002, 0.0001])
    rest = mixture_of(first(truth, 3), weights[:3] / weights[:3].sum())
    assert found_by(rest, target_of(mixture_of(truth, weights))).components is None


@pytest.mark.parametrize("most", [8, 60, 100, 2000])
def test_evaluations_stay_within_the_budget_and_are_counted(most):
    truth = chain(length=8)
    log_prob = target_of(mixture_of(truth))
    found = found_by(mixture_of(first(truth, 5)), log_prob, max_evaluations=most)
    assert found.num_evaluations == log_prob.count <= most
    assert found.num_evaluations % NUM_SCREENING == 0 and NUM_DRAWS % NUM_SCREENING == 0


def test_no_more_newcomers_than_there_is_room_for():
    truth = chain(length=8)
    rest, log_prob = mixture_of(first(truth, 5)), target_of(mixture_of(truth))
    assert int(found_by(rest, log_prob, most=1).components.num_components) == 1
    assert found_by(rest, log_prob, most=0) == (None, 0)
    assert found_by(mixture_of(first(truth, 1)), log_prob) == (None, 0)  # no pair to go by


def test_the_same_seed_finds_the_same():
    truth = chain(length=8)
    one, two = (found_by(mixture_of(first(truth, 5)), target_of(mixture_of(truth))) for _ in "ab")
    np.testing.assert_array_equal(one.components.log_weights, two.components.log_weights)
    np.testing.assert_array_equal(one.components.components.loc, two.components.components.loc)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_rule_a_candidate_out(value):
    truth = chain()
    rest, log_prob = mixture_of(first(truth, 3)), target_of(mixture_of(truth))

    def broken(x):
        values = log_prob(x)
        return np.where(np.asarray(x)[:, 0] > truth.loc.numpy()[3, 0], value, values)

    assert found_by(rest, broken).components is None
    assert found_by(rest, lambda x: np.full(len(x), value)).components is None


def test_components_without_weight_lead_nowhere():
    truth = chain()
    idle = Mixture(tf.constant([0.0, -60.0, -60.0], tf.float64), first(truth, 3))
    assert found_by(idle, target_of(mixture_of(truth))) == (None, 0)


def test_a_candidate_that_leaves_the_range_of_numbers_is_skipped():
    loc, scale = np.zeros((2, 1)), np.array([[1e-200], [1e200]])
    wide = mixture_of(DiagonalGaussians(tf.constant(loc), tf.constant(scale)))
    with np.errstate(all="ignore"):
        assert found_by(wide, lambda x: np.zeros(len(x))).components is None
