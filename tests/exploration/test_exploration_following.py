"""Searches among known modes end in a known one, or where another one of another shape is."""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.following import followed
from gmmvi_ext.targets.callables import CallableTarget

DIM = 7
RNG = np.random.default_rng(3)
BASIS = np.linalg.qr(RNG.standard_normal((DIM, DIM)))[0]
OWN = np.linalg.cholesky(BASIS @ np.diag(np.geomspace(1e-3, 3.0, DIM) ** 2) @ BASIS.T)
KNOWN = np.diag(np.geomspace(3.0, 1e-3, DIM))
PLACE = np.full(DIM, 40.0)


def normal(x, loc, factor):
    z = tf.linalg.triangular_solve(tf.constant(factor), tf.transpose(x - loc))
    return -0.5 * tf.reduce_sum(z**2, axis=0)


def run(fn, points, max_evaluations=math.inf, is_done=None):
    target = CountedTarget(CallableTarget(fn, num_dimensions=DIM, dtype=tf.float64))
    runs = followed(
        target,
        points,
        np.broadcast_to(KNOWN, (len(points), DIM, DIM)),
        np.ones(DIM),
        max_evaluations,
        np.random.default_rng(0),
        furthest=1e6,
        is_done=is_done or (lambda x, loss: np.zeros(len(x), bool)),
    )
    return runs, target.count


def test_in_the_basin_of_a_gaussian_of_condition_1e7_the_hessian_leads_to_its_mean():
    points = PLACE + 20.0 * np.random.default_rng(1).standard_normal((20, DIM))
    runs, count = run(lambda x: normal(x, PLACE, OWN), points)
    assert runs.has_rested.all()
    z = np.linalg.solve(OWN, (runs.x - PLACE).T)
    assert np.abs(z).max() < 0.1
    assert count <= 80 * len(points)


def test_what_a_known_mode_pulls_is_over_within_a_few_evaluations():
    points = np.random.default_rng(2).standard_normal((20, DIM)) @ (30.0 * KNOWN)
    runs, count = run(
        lambda x: normal(x, np.zeros(DIM), KNOWN),
        points,
        is_done=lambda x, loss: loss <= DIM,
    )
    assert runs.is_done.all() and count <= 4 * len(points)


def test_evaluations_are_never_exceeded():
    points = PLACE + 20.0 * np.random.default_rng(1).standard_normal((20, DIM))
    for most in (0, 10, 20, 90, 400):
        runs, count = run(lambda x: normal(x, PLACE, OWN), points, most)
        assert count <= most and len(runs.x) == len(points)


def test_what_is_not_finite_is_left_alone():
    runs, _ = run(lambda x: math.nan * tf.reduce_sum(x, axis=1), PLACE[np.newaxis])
    assert not np.isfinite(runs.value).any() and not runs.has_rested.any()
