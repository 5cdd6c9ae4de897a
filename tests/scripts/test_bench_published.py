"""Published problems: the log density of Lotka-Volterra against an adaptive solver."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.integrate import solve_ivp

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "bench" / "_lotka_volterra.py"


@pytest.fixture(scope="module")
def model():
    spec = importlib.util.spec_from_file_location("_lotka_volterra", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _twin(x, hare, lynx):
    """The Stan program in NumPy, in the logarithms of its parameters."""
    alpha, beta, gamma, delta = rates = np.exp(x[:4])
    start, sigma = np.exp(x[4:6]), np.exp(x[6:])

    def slope(t, z):
        return [(alpha - beta * z[1]) * z[0], (-gamma + delta * z[0]) * z[1]]

    found = solve_ivp(slope, (0, 20), start, t_eval=range(21), rtol=1e-10, atol=1e-10).y
    total = stats.norm.logpdf(rates, [1, 0.05, 1, 0.05], [0.5, 0.05, 0.5, 0.05]).sum()
    total += stats.lognorm.logpdf(sigma, 1.0, scale=np.exp(-1.0)).sum()
    total += stats.lognorm.logpdf(start, 1.0, scale=10.0).sum()
    for data, mean, sd in zip((hare, lynx), found, sigma, strict=True):
        total += stats.lognorm.logpdf(data, sd, scale=mean).sum()
    return total + x.sum()


def test_lotka_volterra_is_the_stan_program(model):
    mean = np.array([-0.61, -3.6, -0.23, -3.74, 3.52, 1.78, -1.41, -1.4])
    x = mean + 0.1 * np.random.default_rng(0).standard_normal((3, 8))
    twin = [_twin(each, model.HARE, model.LYNX) for each in x]
    np.testing.assert_allclose(model.log_prob(tf.constant(x)), twin, atol=1e-3)
