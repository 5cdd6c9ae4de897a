"""First mixtures: their moments, and numbers that the dtype cannot hold."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.config import ConfigError, load_config
from gmmvi_ext.config.build import build_algorithm
from gmmvi_ext.models import initial_mixture
from gmmvi_ext.targets import CallableTarget


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


@pytest.mark.parametrize(
    "key, value",
    [
        ("model_initialization.initial_cov", 1e308),
        ("model_initialization.prior_scale", 1e-40),
        ("temperature", 1e308),
    ],
)
def test_a_configuration_is_told_which_number_is_too_much(key, value):
    target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), num_dimensions=2)
    config = load_config({"algorithm": "SAMTRON"}, overrides=[f"{key}={value}"], needs_target=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigError, match=f"{key}: .* in float32, got") as caught:
            build_algorithm(config, target)
    assert len(str(caught.value).splitlines()) == 1
