"""Initial values by name: where the first search begins."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

import gmmvi_ext
from gmmvi_ext.constraints.layout import make_layout
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.search import ModeSearch
from gmmvi_ext.exploration.starting_points import start_from
from gmmvi_ext.fitting.initial_values import initial_point
from gmmvi_ext.targets import CallableTarget
from gmmvi_ext.targets.base import TargetError

SHAPES = {"mu": (2,), "tau": ()}
LAYOUT = make_layout(3, {"tau": "positive(base='exp')"}, SHAPES, tf.float64)


def density(p):
    return -0.5 * tf.reduce_sum((p["mu"] - 40.0) ** 2, -1) - p["tau"]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"mu": [1.0, -2.0], "tau": np.exp(3.0)}, [1.0, -2.0, 3.0]),
        ({"tau": np.float64(np.e)}, [np.nan, np.nan, 1.0]),
        ({"mu[1]": 4}, [np.nan, 4.0, np.nan]),
    ],
)
def test_values_by_name_are_the_unconstrained_point(values, wanted):
    found = initial_point(LAYOUT, values, tf.float64)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_nothing_said_is_no_point():
    assert initial_point(LAYOUT, {}, tf.float32) is None


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"tua": 1.0}, "unknown parameter name 'tua'"),
        ({"tau": -1.0}, "the value of tau lies outside the support"),
        ({"tau": 0.0}, "outside the support or on its edge"),
        ({"mu": 1.0}, "'mu': expected shape"),
    ],
)
def test_what_is_no_point_of_the_model_is_refused(values, match):
    with pytest.raises(TargetError, match=match):
        initial_point(LAYOUT, values, tf.float64)


def test_parameters_that_depend_on_each_other_are_given_together():
    layout = make_layout(2, tfb.Shift([1.0, 2.0]), {"a": (), "b": ()})
    np.testing.assert_allclose(initial_point(layout, {"a": 1.0, "b": 1.0}, tf.float32), [0, -1])
    with pytest.raises(TargetError, match="depend on each other: give b, too"):
        initial_point(layout, {"a": 1.0}, tf.float32)


def test_without_a_prior_searches_begin_around_the_values_and_the_first_one_there():
    target = CallableTarget(lambda x: -tf.reduce_sum(x**2, -1), 2)
    before = start_from(target, seed=3)
    start = start_from(target, initial=np.array([7.0, np.nan]), seed=3)
    np.testing.assert_allclose(start.mean, [7.0, 0.0])
    np.testing.assert_allclose(start.points[1:] - before.points[1:], [[7.0, 0.0]] * 11)
    np.testing.assert_allclose(start.points[0], [7.0, before.points[0, 1]])


def test_of_a_prior_the_first_search_alone_begins_at_the_values():
    target = CallableTarget(
        lambda x: -tf.reduce_sum(x**2, -1),
        2,
        prior_fn=lambda count, seed: {"x": tf.random.stateless_normal([count, 2], seed)},
    )
    before = start_from(target, seed=3)
    start = start_from(target, initial=np.array([70.0, 5.0]), seed=3)
    np.testing.assert_array_equal(start.points[0], [70.0, 5.0])
    np.testing.assert_array_equal(start.points[1:], before.points[1:])
    np.testing.assert_array_equal(start.mean, before.mean)


@pytest.mark.parametrize("has_gradient", [True, False])
def test_few_evaluations_begin_at_the_values_whatever_the_prior_says(has_gradient):
    """Of two modes, the one beside the center of the prior and the one of the values."""

    def two(x):
        return tf.reduce_logsumexp(-50.0 * (x - tf.constant([0.0, 6.0])) ** 2, axis=-1)

    target = CallableTarget(
        two, 1, prior_fn=lambda count, seed: {"x": tf.random.stateless_normal([count, 1], seed)}
    )
    target.has_gradient = has_gradient
    for place in (0.2, 6.2):
        start = start_from(target, initial=np.array([place]), seed=0)
        first = ModeSearch(CountedTarget(target), start, budget=100, seed=0).run()
        np.testing.assert_allclose(first.loc[0], np.round(place), atol=0.3)


def test_a_narrow_mode_far_away_is_found_from_its_place():
    def far(p):
        inside = tf.reduce_sum((p["mu"] - 4000.0) ** 2, -1) < 100.0
        return tf.where(inside, density({**p, "mu": p["mu"] - 3960.0}), -np.inf)

    fitted = gmmvi_ext.fit(
        far,
        shapes=SHAPES,
        constraints={"tau": "positive"},
        initial_values={"mu": [4001.0, 3999.0]},
        max_evaluations=3000,
        verbose=False,
    )
    np.testing.assert_allclose(fitted.mean()["mu"], 4000.0, atol=0.2)


def test_wrong_values_of_fit_are_said():
    settings = {"shapes": SHAPES, "verbose": False}
    with pytest.raises(ValueError, match="must be a dict"):
        gmmvi_ext.fit(density, initial_values=3.0, **settings)
    with pytest.raises(ValueError, match="'tau' must be a number"):
        gmmvi_ext.fit(density, initial_values={"tau": "a"}, **settings)
    with pytest.raises(ValueError, match="'tau' is None; leave it out"):
        gmmvi_ext.fit(density, initial_values={"tau": None}, **settings)
    with pytest.raises(TargetError, match="give one value of each parameter, got 2"):
        gmmvi_ext.fit(density, initial_values={"tau": [1.0, 2.0]}, **settings)
    with pytest.raises(ValueError, match="initial_values: needs `mode` auto"):
        gmmvi_ext.fit(density, initial_values={"tau": 1.0}, start="off", **settings)
