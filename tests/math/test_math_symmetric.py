"""`gmmvi_ext.math.symmetric`: eigenvalues and factors of whatever a model's differences are."""

import numpy as np
import pytest

from gmmvi_ext.math.symmetric import LARGEST, cholesky_of, symmetric_eigen

# Minus the Hessian of a hidden Markov model far from its mode (rounded).
EXPLODED = np.zeros((6, 6))
EXPLODED[0] = [0.0, 8.8e9, 1.74084361e7, 6.93997780e-49, -7.30339488e143, -5.73636798e141]
EXPLODED[2, 2:4] = 1.0, 9.4e-61
EXPLODED = np.triu(EXPLODED) + np.triu(EXPLODED, 1).T


def test_eigenvalues_are_those_of_the_symmetric_part():
    matrix = np.random.default_rng(0).standard_normal((3, 4, 4))
    level, basis = symmetric_eigen(matrix)
    again = np.einsum("cij,cj,ckj->cik", basis, level, basis)
    np.testing.assert_allclose(again, 0.5 * (matrix + matrix.swapaxes(1, 2)), atol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [EXPLODED, np.full((2, 2), np.nan), np.diag([np.inf, 1.0]), np.diag([-np.inf, 1e308])],
    ids=["exploded", "nan", "inf", "minus inf"],
)
def test_whatever_the_entries_are_there_are_eigenvalues(matrix):
    level, basis = symmetric_eigen(matrix)
    assert np.isfinite(level).all() and np.isfinite(basis).all()
    assert np.abs(level).max() <= 2.0 * LARGEST


def test_factor_is_that_of_the_product_and_exists_where_the_product_is_singular():
    root = np.random.default_rng(1).standard_normal((2, 3, 3))
    product = root @ root.swapaxes(1, 2)
    np.testing.assert_allclose(cholesky_of(root), np.linalg.cholesky(product), rtol=1e-10)
    singular = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    assert np.diagonal(cholesky_of(singular), axis1=1, axis2=2).min() > 0.0
