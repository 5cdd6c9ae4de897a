"""Goodwin oscillator: the integrator against SciPy, its gradient, its stability."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate

from gmmvi_ext.targets import build_target


def _curves(parameters, num_species):
    """Species 1 and 2 at times 41..80 by an adaptive integrator."""
    a1, a2, alpha, *rates = np.exp(parameters)

    def slope(_, x):
        change = np.concatenate([[a1 / (1 + a2 * x[-1] ** 10)], np.array(rates) * x[:-1]])
        return change - alpha * x

    times = np.arange(41.0, 81.0)
    start = np.zeros(num_species)
    solution = integrate.solve_ivp(
        slope, (0, 80), start, t_eval=times, rtol=1e-9, atol=1e-12, method="LSODA"
    )
    return solution.y[:2].T


@pytest.mark.parametrize("num_species", [3, 8])
def test_integrator_is_accurate_compared_with_the_noise(num_species):
    target = build_target("goodwin", {"num_species": num_species}, dtype=tf.float64)
    shifts = 0.3 * np.random.RandomState(0).standard_normal((3, num_species + 2))
    shifts[0] = 0
    x = np.array(target.true_parameters) + shifts
    simulated = target.simulate(tf.constant(x)).numpy()
    assert simulated.shape == (40, 2, 3)
    for n, parameters in enumerate(x):
        # the noise has standard deviation 0.1
        np.testing.assert_allclose(simulated[..., n], _curves(parameters, num_species), atol=5e-3)


def test_species_oscillate():
    curves = _curves(np.array(build_target("goodwin").true_parameters), 8)
    assert np.ptp(curves[:, 0]) > 0.5


def test_observations_are_noisy_curves_of_the_true_parameters():
    """80 residuals: |mean| and standard deviation within 4.9 standard errors (rate 2e-6)."""
    target = build_target("goodwin", dtype=tf.float64)
    clean = _curves(np.array(target.true_parameters), 8)
    residuals = (target.observations.numpy() - clean) / 0.1
    assert abs(residuals.mean()) < 4.9 / np.sqrt(80)
    assert abs(residuals.std() - 1) < 4.9 / np.sqrt(160)
    other = build_target("goodwin", {"seed": 1}, dtype=tf.float64)
    assert np.abs(other.observations - target.observations).max() > 0.05


def test_density_equals_the_definition():
    target = build_target("goodwin", dtype=tf.float64)
    x = np.array(target.true_parameters) + 0.02 * np.arange(10)
    curves = target.simulate(tf.constant(x[None])).numpy()[..., 0]
    likelihood = -0.5 * np.sum(((target.observations.numpy() - curves) / 0.1) ** 2)
    likelihood -= 80 * np.log(0.1 * np.sqrt(2 * np.pi))
    rates = np.exp(x)
    prior = np.sum(np.log(rates) - rates)  # Gamma(2, 1)
    jacobian = np.sum(x)
    np.testing.assert_allclose(
        target.log_prob(tf.constant(x[None])), [likelihood + prior + jacobian]
    )


def test_far_from_the_truth_values_stay_finite_and_species_positive():
    target = build_target("goodwin")
    x = tf.constant(4.0 * np.random.RandomState(1).standard_normal((200, 10)), tf.float32)
    curves = target.simulate(x).numpy()
    assert np.all(curves >= 0)
    values, grads = target.log_prob_and_grad(x)
    assert np.mean(np.isfinite(values)) > 0.99
    assert np.mean(np.isfinite(grads)) > 0.95
