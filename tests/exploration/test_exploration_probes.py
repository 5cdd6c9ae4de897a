"""One gradient says whether a point belongs to a mode that is known; narrow modes are found so."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.exploration.catalog import Catalog, Mode
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.lbfgs import minimize
from gmmvi_ext.exploration.probes import (
    chance_to_meet,
    furthest_coordinate,
    leads_to,
    probe_points,
)
from gmmvi_ext.exploration.search import ModeSearch
from gmmvi_ext.exploration.starting_points import start_from
from gmmvi_ext.targets.benchmarks import random_gmm
from gmmvi_ext.targets.callables import CallableTarget

LOC = np.array([[0.0, 0.0, 0.0], [40.0, 0.0, 10.0]])
FACTORS = np.array([np.eye(3), [[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, -0.3, 1.0]]])


def slopes(x, loc, factor, degrees_of_freedom=None):
    """Gradient of a normal or Student-t log density, [n, D]."""
    z = np.linalg.solve(factor, (x - loc).T).T
    grad = -np.linalg.solve(factor.T, z.T).T
    if degrees_of_freedom is None:
        return grad
    top = degrees_of_freedom + x.shape[1]
    return grad * top / (degrees_of_freedom + np.sum(z**2, axis=1, keepdims=True))


@pytest.mark.parametrize("degrees_of_freedom", [None, 5.0])
@pytest.mark.parametrize("which", [0, 1])
def test_the_gradient_of_an_ellipsoid_leads_to_its_mode_from_everywhere(which, degrees_of_freedom):
    x = 100.0 * np.random.default_rng(0).standard_normal((200, 3))
    grad = slopes(x, LOC[which], FACTORS[which], degrees_of_freedom)
    np.testing.assert_array_equal(leads_to(x, grad, LOC, FACTORS), which)


def test_a_mode_that_is_not_known_explains_no_more_than_what_lies_behind_a_known_one():
    rng = np.random.default_rng(1)
    hidden = np.array([-30.0, 20.0, 0.0])
    x = hidden + 5.0 * rng.standard_normal((500, 3))
    index = leads_to(x, slopes(x, hidden, 0.3 * np.eye(3)), LOC, FACTORS)
    assert np.mean(index >= 0) < 0.01


def test_in_one_dimension_a_newton_step_has_to_arrive():
    x = np.array([[4.0], [9.0]])
    grad = np.array([[-4.0], [100.0 * (9.5 - 9.0)]])
    np.testing.assert_array_equal(leads_to(x, grad, np.zeros((1, 1)), np.ones((1, 1))), [0, -1])


def test_downhill_and_undefined_gradients_lead_nowhere():
    x = np.array([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
    grad = np.array([[1.0, 0.0, 0.0], [np.nan, 0.0, 0.0]])
    np.testing.assert_array_equal(leads_to(x, grad, LOC, FACTORS), -1)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_probes_of_any_number_of_modes_are_as_many_as_asked_for(number):
    rng = np.random.default_rng(2)
    target = CallableTarget(lambda x: -tf.reduce_sum(x**2, -1), 4)
    loc = 10.0 * rng.standard_normal((number, 4))
    for factors in (np.ones((number, 4)), np.tile(np.eye(4), (number, 1, 1))):
        found = probe_points(start_from(target), loc, factors, 101, rng)
        assert found.shape == (101, 4) and np.isfinite(found).all()


@pytest.mark.parametrize(("dim", "is_met"), [(3, True), (20, False)])
def test_many_probes_meet_narrower_modes_in_few_dimensions_only(dim, is_met):
    rng = np.random.default_rng(3)
    loc = rng.uniform(-20, 20, (4, dim))
    modes = [
        Mode(at, w * np.eye(dim), 0.0, 0.0, 1) for at, w in zip(loc, (1, 1.1, 1.3, 2), strict=True)
    ]
    known = Catalog(modes, 100)
    x = probe_points(
        start_from(CallableTarget(lambda x: 0.0 * x[:, 0], dim)), loc, np.ones((4, dim)), 4000, rng
    )
    chance = chance_to_meet(x, known, rng)
    assert chance > 0.9 if is_met else chance < 0.1
    assert not known.are_copies and Catalog(modes[:1], 9).are_copies


def test_a_run_with_a_known_lowest_value_stays_in_a_narrow_bowl():
    """A wide bowl around 0, one of a hundredth of its width at 10."""

    def fn(x):
        wide, narrow = 0.5 * x[:, 0] ** 2, 0.5e4 * (x[:, 0] - 10.0) ** 2
        is_narrow = narrow < wide
        slope = np.where(is_narrow, 1e4 * (x[:, 0] - 10.0), x[:, 0])
        return np.minimum(wide, narrow), slope[:, np.newaxis]

    options = {"save_at": (30,), "max_evaluations": 1000, "scale": np.ones((1, 1))}
    start = np.array([[10.05]])
    assert abs(minimize(fn, start, lowest=0.0, **options).x[0, 0] - 10.0) < 1e-3


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_narrow_modes_among_wide_ones_are_found(seed):
    """Five modes with standard deviations from 0.5 to 2, no prior: all, in five dimensions."""
    rng = np.random.default_rng(seed)
    loc = rng.uniform(-20, 20, (5, 5)).astype(np.float32)
    scale = rng.uniform(0.5, 2, 5).astype(np.float32)
    log_weights = np.log(rng.dirichlet([3] * 5)).astype(np.float32)

    def log_prob(x):
        square = tf.reduce_sum((x[:, tf.newaxis] - loc) ** 2, -1) / scale**2
        return tf.reduce_logsumexp(log_weights - 0.5 * square - 5.0 * np.log(scale), 1)

    target = CallableTarget(log_prob, 5)
    search = ModeSearch(CountedTarget(target), start_from(target), budget=20_000)
    search.run()
    assert len(search.catalog.relevant) == 5
    assert search.counted.count < 20_000  # and 5 700 where the widths leave no doubt


def test_what_is_looked_for_lies_within_a_thousand_widths_of_wide_modes():
    """Of a mode with sd 683 others were looked for within a million: too near in 35 dimensions."""
    nothing = np.zeros((0, 2))
    assert furthest_coordinate(nothing, nothing) == 1e6
    loc, narrow = np.array([[3.0, -4.0]]), np.eye(2)[np.newaxis]
    assert furthest_coordinate(loc, narrow) == 1e6
    assert furthest_coordinate(loc, 683.0 * narrow) == pytest.approx(4.0 + 5000.0 * 683.0)
    assert furthest_coordinate(loc, np.full((1, 2), 683.0)) == pytest.approx(4.0 + 5000.0 * 683.0)


def test_modes_that_one_of_them_hides_from_all_probes_are_found_by_searches():
    """Ten modes in 20 dimensions, wide and narrow in directions of their own; six by probes."""
    target = random_gmm(num_dimensions=20)
    counted = CountedTarget(target)
    search = ModeSearch(counted, start_from(target, seed=0), budget=9000, seed=0)
    search.run()
    assert len(search.catalog.relevant) >= 9


def pull(x, which):
    return slopes(x, LOC[which], FACTORS[which])


def test_between_modes_the_slope_is_explained_by_two_pulls():
    rng = np.random.default_rng(5)
    x = LOC[0] + (LOC[1] - LOC[0]) * rng.random((300, 1)) + 20.0 * rng.standard_normal((300, 3))
    share = rng.random((300, 1))
    index = leads_to(x, share * pull(x, 0) + (1 - share) * pull(x, 1), LOC, FACTORS)
    assert (index >= 0).all()
    away = leads_to(x, pull(x, 0) - 2.0 * pull(x, 1), LOC, FACTORS)
    assert np.mean(away >= 0) < 0.1


def test_within_the_reach_of_a_bulk_the_slope_has_to_point_at_the_mode():
    dim = 45
    rng = np.random.default_rng(6)
    loc, other = np.zeros((1, dim)), np.full(dim, 9.0 / np.sqrt(dim))
    x = other + 0.5 * rng.standard_normal((200, dim))  # all within sqrt(2 D) of both
    factors = np.eye(dim)[np.newaxis]
    np.testing.assert_array_equal(leads_to(x, -x, loc, factors), 0)
    np.testing.assert_array_equal(leads_to(x, other - x, loc, factors), -1)


def test_shells_around_a_single_mode_have_points_as_wide_in_all_coordinates():
    dim = 6
    factor = np.diag(np.geomspace(1.0, 1e-3, dim))
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))[0]
    factor = np.linalg.cholesky(rotation @ factor**2 @ rotation.T)
    start = start_from(CallableTarget(lambda x: -tf.reduce_sum(x**2, 1), num_dimensions=dim))
    x = probe_points(start, np.zeros((1, dim)), factor[None], 400, np.random.default_rng(1))[:200]
    own = np.linalg.norm(np.linalg.solve(factor, x.T), axis=0) / np.linalg.norm(x, axis=1)
    # Half of the shape of the mode, half far out across its narrow directions.
    assert np.sum(own > 50.0) >= 60 and np.sum(own < 20.0) >= 60


def test_of_very_many_equal_modes_none_has_to_be_met_often():
    """Each has less than a hundredth of the mass: there is no share to wait for."""
    target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), 2)
    search = ModeSearch(CountedTarget(target), start_from(target), budget=1000)
    places = 100.0 * np.stack(np.meshgrid(range(15), range(15)), -1).reshape(-1, 2)
    modes = [Mode(place.astype(float), np.eye(2), 0.0, 0.0, 1) for place in places]
    search.catalog = Catalog(modes, len(modes))
    assert search.catalog.shares.max() < 0.01
    assert search._least_probes() == 500
