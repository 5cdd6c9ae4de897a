"""Modes: bumps of the density, not components."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.diagnostics import density, find_modes
from gmmvi_ext.diagnostics.density import DensityMixture
from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures


def make_mixture(loc, scale=1.0, weights=None, diagonal=False):
    loc = np.asarray(loc, np.float64)
    weights = np.full(len(loc), 1 / len(loc)) if weights is None else np.asarray(weights)
    scales = np.broadcast_to(np.asarray(scale, np.float64), loc.shape)
    if diagonal:
        components = DiagonalGaussians(tf.constant(loc), tf.constant(scales))
    else:
        components = FullGaussians(tf.constant(loc), tf.linalg.diag(tf.constant(scales)))
    with np.errstate(divide="ignore"):
        return Mixture(tf.constant(np.log(weights)), components)


def random_mixture(num, dims, seed):
    rng = np.random.default_rng(seed)
    factor = np.tril(0.3 * rng.normal(size=(num, dims, dims)), -1)
    factor += np.apply_along_axis(np.diag, 1, rng.uniform(0.5, 2.0, size=(num, dims)))
    weights = rng.dirichlet(np.ones(num))
    loc = 3 * rng.normal(size=(num, dims))
    return Mixture(
        tf.constant(np.log(weights)), FullGaussians(tf.constant(loc), tf.constant(factor))
    )


@pytest.mark.parametrize("diagonal", [False, True])
def test_two_unit_gaussians_are_bimodal_beyond_the_dip(diagonal):
    # Density at the middle relative to a peak: 2 exp(-d^2 / 8), one half at d = 3.33.
    for distance, expected in ((1.9, 1), (3.0, 1), (3.7, 2), (8.0, 2)):
        mixture = make_mixture([[0.0, 0.0], [distance, 0.0]], diagonal=diagonal)
        assert find_modes(mixture).count() == expected
    # With a dip of one every local maximum counts: bimodal beyond a distance of two.
    assert find_modes(make_mixture([[0.0], [1.95]]), dip=1.0).count() == 1
    assert find_modes(make_mixture([[0.0], [2.4]]), dip=1.0).count() == 2


def test_peaks_are_stationary_points_of_the_density():
    mixture = random_mixture(6, 3, seed=0)
    modes = find_modes(mixture)
    score = mixtures.score(mixture, tf.constant(modes.location)).numpy()
    assert np.abs(score).max() < 1e-2
    np.testing.assert_allclose(
        mixtures.log_prob(mixture, tf.constant(modes.location)).numpy(), modes.log_prob, rtol=1e-9
    )


def test_weights_and_labels_add_up():
    loc = [[0, 0], [0.5, 0], [20, 0], [20, 0.5], [20, -0.5], [-30, 0]]
    modes = find_modes(make_mixture(loc, weights=[0.1, 0.2, 0.2, 0.2, 0.25, 0.05]))
    np.testing.assert_allclose(modes.weight, [0.65, 0.3, 0.05])
    np.testing.assert_array_equal(modes.num_components, [3, 2, 1])
    np.testing.assert_array_equal(modes.mode_of_component, [1, 1, 0, 0, 0, 2])
    assert modes.count(0.1) == 2


def test_permuting_components_permutes_labels():
    mixture = random_mixture(7, 2, seed=3)
    order = np.random.default_rng(0).permutation(7)
    moved = Mixture(
        tf.gather(mixture.log_weights, order),
        FullGaussians(*(tf.gather(part, order) for part in mixture.components)),
    )
    a, b = find_modes(mixture), find_modes(moved)
    np.testing.assert_allclose(a.weight, b.weight)
    np.testing.assert_array_equal(a.mode_of_component[order], b.mode_of_component)


def test_a_chain_of_overlapping_components_is_one_mode():
    angle = np.linspace(0, 1.5 * np.pi, 25)
    ring = 5 * np.stack([np.cos(angle), np.sin(angle)], 1)
    assert find_modes(make_mixture(ring, scale=0.8)).count() == 1


def test_a_cloud_of_many_overlapping_components_is_one_mode():
    rng = np.random.default_rng(4)
    cloud = make_mixture(0.3 * rng.normal(size=(100, 20)))
    assert find_modes(cloud).count() == 1
    # Two clouds, twelve standard deviations apart, are two.
    shifted = np.concatenate([0.3 * rng.normal(size=(50, 20)), 0.3 * rng.normal(size=(50, 20))])
    shifted[50:, 0] += 12.0
    np.testing.assert_allclose(find_modes(make_mixture(shifted)).weight, [0.5, 0.5])


def test_a_thousand_equal_modes_are_all_counted():
    rng = np.random.default_rng(5)
    assert find_modes(make_mixture(30 * rng.normal(size=(1000, 5)), diagonal=True)).count() == 1000


def test_local_density_of_all_components_is_the_density():
    density = DensityMixture.of(random_mixture(5, 3, seed=2))
    paths = np.random.default_rng(0).normal(size=(4, 6, 3))
    index = np.tile(np.arange(5), (4, 1))
    everything = density.local_log_prob(paths, index, np.ones_like(index, bool))
    np.testing.assert_allclose(everything.ravel(), density.log_prob(paths.reshape(-1, 3)))
    few = density.local_log_prob(paths, index, index < 3)
    assert (few < everything).all()


def test_padding_components_belong_to_no_mode():
    mixture = make_mixture([[0.0], [9.0], [4.0]], weights=[0.5, 0.5, 0.0])
    modes = find_modes(mixture)
    assert modes.count() == 2
    assert modes.mode_of_component[2] == -1


def test_many_separate_components_in_high_dimension():
    rng = np.random.default_rng(1)
    modes = find_modes(make_mixture(20 * rng.normal(size=(40, 50))))
    assert modes.count() == 40


def test_host_density_equals_the_tensorflow_one():
    mixture = random_mixture(5, 3, seed=2)
    x = np.random.default_rng(0).normal(size=(11, 3))
    np.testing.assert_allclose(
        DensityMixture.of(mixture).log_prob(x), mixtures.log_prob(mixture, tf.constant(x)).numpy()
    )


def test_dip_out_of_range_is_refused():
    with pytest.raises(ValueError, match="`dip`"):
        find_modes(make_mixture([[0.0]]), dip=0.0)


def test_a_singular_blend_of_precisions_has_a_solution():
    matrices = np.stack([np.eye(2), [[1.0, 1.0], [1.0, 1.0]], np.zeros((2, 2))])
    solved = density._solved(matrices, np.array([[1.0, 2.0], [2.0, 2.0], [0.0, 0.0]]))
    np.testing.assert_allclose(solved, [[1.0, 2.0], [1.0, 1.0], [0.0, 0.0]], atol=1e-12)
