"""First mixtures: their moments, and numbers that the dtype cannot hold."""

import warnings

import numpy as np
import pytest

from gmmvi_ext.models import initial_mixture


@pytest.mark.parametrize("name", ["prior_mean", "prior_scale", "initial_cov"])
@pytest.mark.parametrize("value", [1e308, [1.0, 1e39]])
def test_numbers_beyond_the_dtype_are_refused_by_name(name, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=f"`{name}` must be between .* in float32, got"):
            initial_mixture(2, **{name: value})


@pytest.mark.parametrize("name, value", [("prior_scale", 1e25), ("initial_cov", 1e-300)])
def test_variances_must_be_numbers_of_the_dtype(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be between"):
        initial_mixture(2, **{name: value})
    mixture = initial_mixture(2, **{name: value}, dtype="float64")
    wanted = value if name == "prior_scale" else np.sqrt(value)
    np.testing.assert_allclose(mixture.components.scale_tril[0], wanted * np.eye(2))


def test_a_mean_beyond_what_draws_can_reach_is_no_infinity():
    mixture = initial_mixture(2, num_initial_components=5, prior_mean=-1e30, prior_scale=1e19)
    assert np.isfinite(mixture.components.loc.numpy()).all()
