"""Exact samplers and normalizers: integrals on a grid, and identities of the score.

For draws of a normalizable p, integration by parts gives E[grad log p] = 0 and
E[x grad log p] = -1 for every coordinate. Each test compares means of N draws with these values in
units of their standard error; the threshold makes a false failure (by the central limit theorem)
less likely than 1e-6 for each target, all coordinates together.
"""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from gmmvi_ext.targets import TARGETS, build_target

NUM_DRAWS = 20_000
FALSE_FAILURE_RATE = 1e-6

CONFIGS = {
    "GMM": {"num_dimensions": 5},
    "DIAGGMM": {"num_dimensions": 5},
    "STM": {"num_dimensions": 5},
    "student_t": {"df": 5.0},
}
# Settings under which the whole mass lies on the grid.
GRIDS = {
    "toy_gmm": ({}, (-9, 9), (-9, 9)),
    "star": ({}, (-7, 7), (-7, 7)),
    "rosenbrock": ({}, (-4, 6), (-2, 36)),
    "banana": ({}, (-60, 60), (-10, 110)),
    "mog40": ({}, (-48, 48), (-48, 48)),
    "gaussian": ({"num_dimensions": 2, "log_normalizer": -1.3}, (-20, 20), (-20, 20)),
    "funnel": ({"num_dimensions": 2, "scale": 0.7}, (-5, 5), (-60, 60)),
    "STM": ({"num_dimensions": 2, "df": 30.0}, (-30, 30), (-30, 30)),
    "DIAGGMM": ({"num_dimensions": 2}, (-65, 65), (-65, 65)),
    "GMM": ({"num_dimensions": 2}, (-60, 60), (-60, 60)),
}


def _z_threshold(num_statistics: int) -> float:
    return stats.norm.isf(FALSE_FAILURE_RATE / (2 * num_statistics))


def _samplers() -> list[str]:
    return [
        name
        for name in TARGETS
        if name not in ("MNIST", "WINE", "GermanCredit", "GermanCredit_mb")
        and build_target(name, CONFIGS.get(name)).can_sample
    ]


@pytest.mark.parametrize("name", GRIDS)
def test_log_normalizer_is_the_integral(name):
    config, *limits = GRIDS[name]
    target = build_target(name, config, dtype=tf.float64)
    axes = [np.linspace(low, high, 601) for low, high in limits]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    values = target.log_prob(tf.constant(grid)).numpy()
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    log_integral = np.log(np.sum(np.exp(values))) + np.log(cell)
    assert abs(log_integral - target.log_normalizer) < 2e-3


@pytest.mark.parametrize("name", _samplers())
def test_draws_satisfy_the_identities_of_the_score(name):
    target = build_target(name, CONFIGS.get(name), dtype=tf.float64)
    x = target.sample(NUM_DRAWS, tf.constant([17, 4]))
    assert x.shape == (NUM_DRAWS, target.num_dimensions)
    grads = target.log_prob_and_grad(x)[1].numpy()
    centered = x.numpy() - x.numpy().mean(axis=0)  # does not change the expectation
    observed = np.concatenate([grads, centered * grads + 1.0], axis=1)
    z = observed.mean(axis=0) / (observed.std(axis=0) / np.sqrt(NUM_DRAWS))
    assert np.abs(z).max() < _z_threshold(observed.shape[1])


@pytest.mark.parametrize("name", ["GMM", "DIAGGMM", "STM", "star", "toy_gmm"])
def test_components_are_drawn_by_weight(name):
    target = build_target(name, CONFIGS.get(name), dtype=tf.float64)
    x = target.sample(NUM_DRAWS, tf.constant([1, 1]))
    log_parts = target._parts(x)[1].numpy()
    responsibilities = np.exp(log_parts - np.logaddexp.reduce(log_parts, axis=0))
    # E[gamma_k(x)] = w_k under the mixture itself
    shares, errors = responsibilities.mean(1), responsibilities.std(1) / np.sqrt(NUM_DRAWS)
    z = (shares - np.exp(target.log_weights)) / errors
    assert np.abs(z).max() < _z_threshold(len(z))


def test_draws_come_in_random_order():
    target = build_target("mog40", dtype=tf.float64)
    x = target.sample(4000, tf.constant([0, 2])).numpy()
    # correlation of neighbors, standard error 1 / sqrt(N)
    neighbors = np.mean(x[1:, 0] * x[:-1, 0]) / np.mean(x[:, 0] ** 2)
    assert abs(neighbors) < _z_threshold(1) / np.sqrt(4000)


@pytest.mark.parametrize("name", _samplers())
def test_samplers_repeat_with_the_seed_and_run_in_a_graph(name):
    target = build_target(name, CONFIGS.get(name))
    first = target.sample(50, tf.constant([1, 2]))
    again = tf.function(lambda: target.sample(50, tf.constant([1, 2])))()
    other = target.sample(50, tf.constant([1, 3]))
    np.testing.assert_allclose(first, again, rtol=1e-4, atol=1e-4)
    assert np.abs(first - other).max() > 1e-3


def test_marginals_of_mixtures_match_their_draws():
    for name in ("GMM", "STM"):
        target = build_target(name, {"num_dimensions": 3}, dtype=tf.float64)
        x = np.sort(target.sample(NUM_DRAWS, tf.constant([8, 8]))[:, 1].numpy())
        grid = np.linspace(-300, 300, 60_001)
        density = np.exp(target.marginal_log_prob(grid, [1]))[0]
        distribution = np.cumsum(density) * (grid[1] - grid[0])
        empirical = np.searchsorted(x, grid) / NUM_DRAWS
        # Kolmogorov-Smirnov: sqrt(N) times the distance exceeds 2.7 with probability 1e-6
        assert np.abs(distribution - empirical).max() < 2.7 / np.sqrt(NUM_DRAWS) + 2e-3
