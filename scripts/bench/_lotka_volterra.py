"""Lynx and hare of the Hudson's Bay Company, 1900 to 1920, by a Lotka-Volterra system (D = 8).

    du/dt = (alpha - beta v) u,    dv/dt = (-gamma + delta u) v
    alpha, gamma ~ N(1, 0.5),  beta, delta ~ N(0.05, 0.05),  sigma ~ LogNormal(-1, 1)
    u(0), v(0) ~ LogNormal(log 10, 1),    log data ~ N(log of the solution, sigma)

posteriordb's `hudson_lynx_hare-lotka_volterra`, in the logarithms of its parameters (in the order
of the Stan program: alpha, beta, gamma, delta, u(0), v(0), sigma of both), Jacobian included. The
system is solved for log u and log v by the classical Runge-Kutta method with fixed steps.
"""

import math

import numpy as np
import tensorflow as tf

__all__ = ["log_prob"]

# Pelts in thousands: the year 1900, then 1901 to 1920.
HARE = (30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1)
HARE += (40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7)
LYNX = (4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4)
LYNX += (8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6)
STEPS = 10  # a year: the log density is exact to 2e-4 at draws of the posterior
PRIOR_MEAN, PRIOR_SD = (1.0, 0.05, 1.0, 0.05), (0.5, 0.05, 0.5, 0.05)
LARGEST = 30.0  # of log u and log v: where rates are absurd, values stay finite


def log_prob(x: tf.Tensor, steps: int = STEPS) -> tf.Tensor:
    """Log density [N] of logarithms of the parameters [N, 8], with all constants."""
    rates, state, sigma = tf.exp(x[:, :4]), x[:, 4:6], tf.exp(x[:, 6:])
    mean, sd = (tf.constant(each, x.dtype) for each in (PRIOR_MEAN, PRIOR_SD))
    data = tf.constant(np.log(np.array([HARE, LYNX]).T), x.dtype)  # [21, 2]
    total = tf.reduce_sum(_normal(rates, mean, sd), axis=1) + tf.reduce_sum(x, axis=1)
    total += tf.reduce_sum(_normal(x[:, 6:], -1.0, 1.0) - x[:, 6:], axis=1)
    total += tf.reduce_sum(_normal(state, math.log(10.0), 1.0) - state, axis=1)
    total += tf.reduce_sum(_normal(data[0], state, sigma), axis=1)

    def year(number, state, total):
        for _ in range(steps):
            state = _step(state, rates, 1.0 / steps)
        fit = tf.reduce_sum(_normal(tf.gather(data, number), state, sigma), axis=1)
        return number + 1, state, total + fit

    found = tf.while_loop(lambda number, *_: number < len(HARE), year, (1, state, total))
    return found[2] - float(np.log(np.array([HARE, LYNX])).sum())  # of densities of the data


def _normal(value, mean, sd):
    squares, log_sd = tf.square((value - mean) / sd), tf.math.log(tf.cast(sd, value.dtype))
    return -0.5 * squares - log_sd - 0.5 * math.log(2.0 * math.pi)


def _slope(state, rates):
    u, v = tf.unstack(tf.exp(tf.minimum(state, LARGEST)), axis=1)
    alpha, beta, gamma, delta = tf.unstack(rates, axis=1)
    return tf.stack([alpha - beta * v, delta * u - gamma], axis=1)


def _step(state, rates, h: float):
    first = _slope(state, rates)
    second = _slope(state + 0.5 * h * first, rates)
    third = _slope(state + 0.5 * h * second, rates)
    fourth = _slope(state + h * third, rates)
    return state + h / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
