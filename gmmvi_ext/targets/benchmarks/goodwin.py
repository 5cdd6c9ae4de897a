"""Kinetic parameters of a Goodwin oscillator from observations of two species (D = 10).

    dx_1/dt = a_1 / (1 + a_2 x_g^rho) - alpha x_1
    dx_i/dt = k_{i-1} x_{i-1} - alpha x_i,   i = 2..g,    x(0) = 0

Unknown are the logarithms of (a_1, a_2, alpha, k_1 .. k_{g-1}), each parameter with a Gamma(2, 1)
prior (the Jacobian of the logarithm is part of the density). Species 1 and 2 are observed at times
41..80 with Gaussian noise of standard deviation 0.1; the data are simulated from a fixed seed.

All species decay at the same rate, so the equation is integrated by a fourth-order Runge-Kutta
scheme with the decay solved exactly (integrating factor): stable for any alpha, and concentrations
stay positive. The gradient is the exact one of the scheme: the states are kept and the steps run
backwards, one vector-Jacobian product each.

References:
  Calderhead, Girolami (2009), Estimating Bayes Factors via Thermodynamic Integration and Population
  MCMC. Arenz, Zhong, Neumann (2018), Efficient Gradient-Free Variational Inference using Policy
  Search.
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.targets import pictures
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.benchmarks.checks import check_count, check_positive
from gmmvi_ext.targets.registry import TARGETS
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["Goodwin"]

HILL_EXPONENT = 10.0  # rho
FIRST_TIME, LAST_TIME = 41, 80
STEPS_PER_UNIT = 4
TRUE_PARAMETERS = (1.0, 3.0, 0.5, 2.0)  # a_1, a_2, alpha, k_1; every further k is 1


@TARGETS.register("goodwin")
class Goodwin(Target):
    """Posterior of the log parameters; the normalizer is unknown.

    Args:
      num_species: g; D = g + 2.
      noise_std: standard deviation of the observations.
      seed: of the simulated noise; another seed is another data set.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import Goodwin
        >>> target = Goodwin()
        >>> target.num_dimensions, target.simulate(tf.zeros([3, target.num_dimensions])).shape
        (10, TensorShape([40, 2, 3]))
    """

    def __init__(
        self,
        *,
        num_species: int = 8,
        noise_std: float = 0.1,
        seed: int = 0,
        dtype: DTypeLike = tf.float32,
    ):
        check_count("num_species", num_species, 3)
        super().__init__(num_species + 2, dtype=dtype, name="goodwin")
        self.num_species = num_species
        self.noise_std = check_positive("noise_std", noise_std)
        rates = [f"log_k{i}" for i in range(1, num_species)]
        self.parameter_names = ("log_a1", "log_a2", "log_alpha", *rates)
        truth = np.log([*TRUE_PARAMETERS, *(1.0,) * (num_species - 2)])
        self.true_parameters = tuple(float(value) for value in truth)
        clean = self.simulate(tf.constant(truth[np.newaxis], tf.float64))[..., 0].numpy()
        noise = np.random.RandomState(seed).standard_normal(clean.shape)
        observations = clean + self.noise_std * noise  # [T, 2]
        self.data_size = observations.size
        self.observations = tf.constant(observations, self.dtype)

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        misses = self.simulate(x) - self.observations[..., tf.newaxis]  # [T, 2, N]
        squares = tf.reduce_sum(tf.square(misses), axis=[0, 1]) / self.noise_std**2
        size = self.observations.shape.num_elements()
        constant = size * (math.log(self.noise_std) + 0.5 * math.log(2 * math.pi))
        # Gamma(2, 1) of exp(x), times exp(x); its constant is log Gamma(2) = 0
        log_prior = tf.reduce_sum(2.0 * x - tf.exp(x), axis=-1)
        return log_prior - 0.5 * squares - constant

    def simulate(self, x: tf.Tensor) -> tf.Tensor:
        """Species 1 and 2 at the times of observation, [T, 2, N], from x [N, D]."""
        return _simulate(tf.transpose(x), self.num_species)

    def figures(self, mixture: Mixture, samples: tf.Tensor) -> dict:
        """`fit`: observations and the curves of 50 samples."""
        curves = self.simulate(tf.cast(samples[:50], self.dtype)).numpy()
        times = np.arange(FIRST_TIME, LAST_TIME + 1)
        figure = pictures.new_figure(9.0, 5.0)
        for species, ax in enumerate(figure.subplots(2, 1, sharex=True)):
            ax.plot(times, curves[:, species], color="tab:blue", alpha=0.15)
            ax.plot(times, self.observations.numpy()[:, species], ".", color="black")
            ax.set_ylabel(f"species {species + 1}")
        ax.set_xlabel("time")
        return {"fit": figure}


def _step(state: tf.Tensor, log_rates: tf.Tensor) -> tf.Tensor:
    """One step of length 1 / STEPS_PER_UNIT: state [g, N], log parameters [D, N]."""
    size = 1.0 / STEPS_PER_UNIT
    rates = tf.exp(log_rates)
    log_a2 = log_rates[1]
    half = tf.exp(-0.5 * size * rates[2])  # decay over half a step  # [N]
    floor = np.finfo(state.dtype.as_numpy_dtype).tiny

    def production(x):
        log_last = tf.math.log(tf.maximum(x[-1], floor))
        # 1 / (1 + a_2 x^rho) without the power, which overflows
        first = rates[0] * tf.math.sigmoid(-(log_a2 + HILL_EXPONENT * log_last))
        return tf.concat([first[tf.newaxis], rates[3:] * x[:-1]], axis=0)

    decayed = half * state
    k1 = production(state)
    k2 = production(decayed + half * (0.5 * size * k1))
    k3 = production(decayed + 0.5 * size * k2)
    k4 = production(half * (decayed + size * k3))
    return half * (half * (state + size / 6.0 * k1) + size / 3.0 * (k2 + k3)) + size / 6.0 * k4


@tf.function(reduce_retracing=True)
def _simulate(log_rates: tf.Tensor, num_species: int) -> tf.Tensor:
    """Species 1 and 2 at the times of observation, [T, 2, N], from log parameters [D, N]."""
    return _observed(num_species)(log_rates)


def _observed(num_species: int):
    num_steps = LAST_TIME * STEPS_PER_UNIT
    observed = slice(FIRST_TIME * STEPS_PER_UNIT, num_steps + 1, STEPS_PER_UNIT)

    @tf.custom_gradient
    def observe(log_rates):
        states = _integrate(log_rates, num_species, num_steps)  # [steps + 1, g, N]

        def grad(upstream):
            zeros = tf.zeros_like(states[:, :2])
            index = tf.range(num_steps + 1)[observed, tf.newaxis]
            pulls = tf.tensor_scatter_nd_update(zeros, index, upstream)
            return _integrate_back(log_rates, states, pulls, num_steps)

        return states[observed, :2], grad

    return observe


def _integrate(log_rates, num_species: int, num_steps: int) -> tf.Tensor:
    start = tf.zeros([num_species, tf.shape(log_rates)[1]], log_rates.dtype)
    kept = tf.TensorArray(log_rates.dtype, num_steps + 1, element_shape=[num_species, None])

    def body(i, state, kept):
        state = _step(state, log_rates)
        return i + 1, state, kept.write(i + 1, state)

    loop = (tf.constant(0), start, kept.write(0, start))
    shapes = (tf.TensorShape([]), tf.TensorShape([num_species, None]), tf.TensorShape(None))
    _, _, kept = tf.while_loop(
        lambda i, *_: i < num_steps,
        body,
        loop,
        maximum_iterations=num_steps,
        shape_invariants=shapes,
    )
    return kept.stack()


def _integrate_back(log_rates, states, pulls, num_steps: int) -> tf.Tensor:
    """Gradient [D, N] given the pulls [steps + 1, 2, N] on species 1 and 2 at every step."""
    others = states.shape[1] - 2

    def body(i, costate, grad):
        costate += tf.pad(pulls[i], [[0, others], [0, 0]])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            before = states[i - 1]
            tape.watch([before, log_rates])
            after = _step(before, log_rates)
        by_state, by_rates = tape.gradient(after, [before, log_rates], output_gradients=costate)
        return i - 1, by_state, grad + by_rates

    start = (tf.constant(num_steps), tf.zeros_like(states[0]), tf.zeros_like(log_rates))
    _, _, grad = tf.while_loop(lambda i, *_: i > 0, body, start, maximum_iterations=num_steps)
    return grad
