"""Orthonormal quadratic features and the ridge regression on them."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.math.least_squares import (
    num_features,
    quadratic_features,
    ridge_solve,
    unpack_quadratic,
)

DIM = 4


def moments(order):
    """E[z^order] of a standard normal."""
    return [1.0, 0.0, 1.0, 0.0, 3.0][order]


def expectation(monomial):
    return np.prod([moments(power) for power in monomial])


@pytest.mark.parametrize("diagonal", [False, True])
def test_features_are_orthonormal_under_the_standard_normal(diagonal):
    # Gauss-Hermite nodes of three points a dimension integrate fourth moments exactly.
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    grid = np.stack(np.meshgrid(*[nodes] * DIM, indexing="ij"), 0).reshape(DIM, -1)
    mass = np.prod(np.stack(np.meshgrid(*[weights] * DIM, indexing="ij")), 0).reshape(-1)
    mass /= mass.sum()
    features = quadratic_features(tf.constant(grid), diagonal=diagonal).numpy()
    assert len(features) == num_features(DIM, diagonal=diagonal)
    np.testing.assert_allclose((features * mass) @ features.T, np.eye(len(features)), atol=1e-12)
    np.testing.assert_allclose(features @ mass, 0.0, atol=1e-12)


@pytest.mark.parametrize("diagonal", [False, True])
def test_coefficients_of_a_quadratic_give_its_gradient_and_hessian(diagonal):
    rng = np.random.default_rng(0)
    hessian = rng.normal(size=(2, DIM, DIM))
    hessian = hessian + np.swapaxes(hessian, 1, 2)
    if diagonal:
        hessian *= np.eye(DIM)
    slope = rng.normal(size=(2, DIM))
    z = rng.normal(size=(2, DIM, 60))
    y = 0.5 * np.einsum("kin,kij,kjn->kn", z, hessian, z) + np.einsum("ki,kin->kn", slope, z)
    features = quadratic_features(tf.constant(z), diagonal=diagonal).numpy()
    design = np.concatenate([features, np.ones((2, 1, 60))], axis=1)
    coefficients = np.stack(
        [np.linalg.lstsq(d.T, v, rcond=None)[0][:-1] for d, v in zip(design, y, strict=True)]
    )
    gradient, curvature = unpack_quadratic(tf.constant(coefficients), DIM, diagonal=diagonal)
    np.testing.assert_allclose(gradient, slope, atol=1e-10)
    expected = np.diagonal(hessian, axis1=1, axis2=2) if diagonal else hessian
    np.testing.assert_allclose(curvature, expected, atol=1e-10)


def test_the_penalty_does_not_depend_on_the_axes():
    rng = np.random.default_rng(1)
    hessian = rng.normal(size=(DIM, DIM))
    hessian = hessian + hessian.T
    rotation = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]

    def penalty(matrix):
        z = rng.normal(size=(DIM, 40))
        y = 0.5 * np.einsum("in,ij,jn->n", z, matrix, z)
        features = quadratic_features(tf.constant(z), diagonal=False).numpy()
        design = np.concatenate([features, np.ones((1, 40))]).T
        return np.sum(np.linalg.lstsq(design, y, rcond=None)[0][:-1] ** 2)

    assert penalty(hessian) == pytest.approx(0.5 * np.sum(hessian**2))
    assert penalty(rotation @ hessian @ rotation.T) == pytest.approx(penalty(hessian))


def test_ridge_solve_flags_what_it_cannot_solve():
    gram = np.stack([np.eye(2), -np.eye(2), np.full((2, 2), np.nan), np.zeros((2, 2))])
    solution, ok = ridge_solve(
        tf.constant(gram),
        tf.ones([4, 2], tf.float64),
        tf.constant([1.0, 0.0, 0.0, 0.5], tf.float64),
    )
    np.testing.assert_array_equal(ok, [True, False, False, True])
    np.testing.assert_allclose(solution, [[0.5, 0.5], [0, 0], [0, 0], [2, 2]])
