"""An audit finds what the mixture lacks, and nothing where it lacks nothing."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.exploration.audit import audit, why_nothing
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.search import ModeSearch
from gmmvi_ext.exploration.starting_points import start_from
from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, LowRankGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.targets import CallableTarget, HostTarget
from gmmvi_ext.targets.user_model import as_target


def mixture_at(places, weights=None, scale=1.0, dtype=tf.float32) -> Mixture:
    loc = tf.constant(places, dtype)
    count, dim = loc.shape
    weights = np.full(count, 1.0 / count) if weights is None else np.asarray(weights)
    factors = tf.tile(scale * tf.eye(dim, dtype=dtype)[tf.newaxis], [count, 1, 1])
    return Mixture(tf.constant(np.log(weights), dtype), FullGaussians(loc, factors))


def target_of(mixture: Mixture, shift=0.0, has_gradient=True):
    dim = mixture.num_dimensions
    if has_gradient:
        return CallableTarget(lambda x: mixtures.log_prob(mixture, x) + shift, dim)
    return HostTarget(lambda x: mixtures.log_prob(mixture, tf.constant(x)).numpy() + shift, dim)


def audited(mixture, target, **options):
    return audit(CountedTarget(target), mixture, start_from(target), **options)


@pytest.mark.parametrize("shift", [0.0, -300.0])
@pytest.mark.parametrize("has_gradient", [True, False])
def test_an_exact_mixture_lacks_nothing(has_gradient, shift):
    truth = mixture_at([[0.0, 0.0], [20.0, -5.0], [-9.0, 9.0]])
    found = audited(truth, target_of(truth, shift, has_gradient))
    assert found.num_missed == 0 and found.missed_mass == 0.0 and found.modes == []
    assert found.num_searches >= 60
    assert found.missed_limit == pytest.approx(1 - 0.05 ** (1 / found.num_searches))


@pytest.mark.parametrize("has_gradient", [True, False])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_a_mode_that_is_lacking_is_found_with_its_mass(has_gradient, share):
    truth = mixture_at([[0.0, 0.0], [30.0, 30.0]], [1 - share, share])
    found = audited(mixture_at([[0.0, 0.0]]), target_of(truth, -7.0, has_gradient))
    assert found.num_missed >= 3 and len(found.modes) == 1
    assert found.missed_mass == pytest.approx(share, rel=0.1)
    np.testing.assert_allclose(found.modes[0].loc, 30.0, atol=0.3)
    assert found.modes[0].log_mass == pytest.approx(math.log(share) - 7.0, abs=0.1)
    assert json.loads(json.dumps(found.as_dict()))["num_missed"] == found.num_missed


def test_a_wide_component_under_a_narrow_one_is_seen_though_no_search_ends_in_it():
    dim = 10
    factors = tf.stack([tf.eye(dim), 10.0 * tf.eye(dim)])
    truth = Mixture(tf.math.log([0.5, 0.5]), FullGaussians(tf.zeros([2, dim]), factors))
    narrow = Mixture(tf.zeros([1]), FullGaussians(tf.zeros([1, dim]), factors[:1]))
    found = audited(narrow, CallableTarget(lambda x: mixtures.log_prob(truth, x), dim))
    assert found.num_missed == 0 and found.tail_mass > 0.05
    again = audited(truth, CallableTarget(lambda x: mixtures.log_prob(truth, x), dim))
    assert again.tail_mass == 0.0


def test_all_families_are_audited():
    truth = mixture_at([[0.0, 0.0], [30.0, 30.0]])
    one = tf.zeros([1])
    loc, ones = tf.zeros([1, 2]), tf.ones([1, 2])
    diagonal = Mixture(one, DiagonalGaussians(loc, ones))
    low_rank = Mixture(one, LowRankGaussians(loc, ones, 0.01 * tf.ones([1, 2, 1])))
    for mixture in (diagonal, low_rank):
        found = audited(mixture, target_of(truth))
        assert found.num_missed >= 3 and found.missed_mass == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("budget", [0, 20, 100, 300, 1000])
@pytest.mark.parametrize("has_gradient", [True, False])
def test_the_budget_is_kept_and_few_searches_say_little(has_gradient, budget):
    truth = mixture_at([[0.0, 0.0]])
    found = audited(truth, target_of(truth, 0.0, has_gradient), max_evaluations=budget)
    assert found.num_evaluations <= budget
    assert found.missed_limit >= 1 - 0.05 ** (1 / max(found.num_searches, 1)) - 1e-9
    if found.num_searches == 0:
        assert found.missed_limit == 1.0
    assert ("no search for modes was made" in why_nothing(found.as_dict())) == (budget < 30)


def test_an_audit_of_no_search_that_ended_says_so():
    one = mixture_at([[0.0, 0.0]])
    target = CallableTarget(lambda x: x[:, 0] * np.nan, 2)
    found = audited(one, target)
    assert found.num_searches == 0
    words = f"none of {found.num_cut_short} searches for modes came to an end"
    assert why_nothing(found.as_dict()) == words
    assert why_nothing({"num_searches": 3}) == ""


def test_a_number_of_wells_is_seen_though_each_holds_little():
    """2^10 wells, of which a mixture has one: a share of a thousandth each, 1023 are lacking."""
    dim = 10
    target = CallableTarget(lambda x: -4.0 * tf.reduce_sum((x**2 - 1.0) ** 2, axis=1), dim)
    one = mixture_at(np.ones((1, dim)), scale=0.18)
    found = audited(one, target)
    assert found.num_missed > 20 and found.missed_mass > 0.9


@pytest.mark.parametrize("dim", [2, 10, 50])
def test_forty_modes_are_found_without_a_scale(dim):
    rng = np.random.default_rng(3)
    places = rng.uniform(-40, 40, (40, dim))
    if dim == 2:  # forty unit Gaussians in a plane overlap
        places = 13.0 * np.stack(np.meshgrid(range(-4, 4), range(-2, 3)), -1).reshape(-1, 2)
    truth = mixture_at(places)
    target = target_of(truth)
    search = ModeSearch(CountedTarget(target), start_from(target), budget=20_000)
    first = search.run()
    assert len(first.log_weights) == 40
    assert np.logaddexp.reduce([mode.log_mass for mode in search.catalog.modes]) == (
        pytest.approx(0.0, abs=1e-3)
    )
    np.testing.assert_allclose(np.exp(first.log_weights), 1 / 40, rtol=1e-2)


@pytest.mark.parametrize("scales", [(1e-3, 1.0), (0.01, 100.0), (1.0, 1000.0)])
def test_a_gaussian_of_any_shape_is_found_exactly(scales):
    widths = np.geomspace(*scales, 6)
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    factor = tf.constant((rotation * widths)[None], tf.float64)
    chol = tf.linalg.cholesky(tf.matmul(factor, factor, transpose_b=True))
    truth = Mixture(
        tf.zeros([1], tf.float64), FullGaussians(5.0 * tf.ones([1, 6], tf.float64), chol)
    )
    target = CallableTarget(lambda x: mixtures.log_prob(truth, x), 6, dtype=tf.float64)
    search = ModeSearch(CountedTarget(target), start_from(target), budget=20_000)
    first = search.run()
    assert len(first.log_weights) == 1
    assert search.catalog.modes[0].log_mass == pytest.approx(0.0, abs=1e-3)


def test_a_spike_is_no_mode():
    """In a funnel the density rises into the neck, where there is no mass."""

    def funnel(x):
        neck = -0.5 * (x[:, 0] / 3.0) ** 2
        return neck + tf.reduce_sum(-0.5 * x[:, 1:] ** 2 * tf.exp(-x[:, :1]) - 0.5 * x[:, :1], 1)

    target = CallableTarget(funnel, 10)
    search = ModeSearch(CountedTarget(target), start_from(target), budget=20_000)
    search.run()
    first = search.with_candidates(10)
    assert first.loc[np.argmax(first.log_weights), 0] > -6.0  # the mode lies at -40.5
    assert search.counted.count < 10_000


@pytest.mark.parametrize(("value", "num_missed"), [(1e4, 1), (1e15, 0)])
def test_ends_whose_value_is_rounding_alone_are_no_mass(value, num_missed):
    """Far out large terms of both signs may cancel badly: float32 rounds 1e15 nats to 1e8."""

    def log_prob(x):
        gaussian = -0.5 * tf.reduce_sum(x**2, axis=1)
        return tf.where(x[:, 0] > 100.0, value - 0.5 * (x[:, 0] - 110.0) ** 2, gaussian)

    target = CallableTarget(log_prob, 1)
    mixture = mixture_at([[0.0]])
    start = start_from(target, mean=0.0, scale=100.0, seed=0)
    found = audit(CountedTarget(target), mixture, start, seed=1)
    assert min(found.num_missed, 1) == num_missed
    assert (found.missed_mass > 0.5) == bool(num_missed)


def test_what_rises_where_the_float_format_has_ended_is_of_its_making():
    """Beyond atanh(phi) = 15.9 float32 knows no phi below one, and a straight line goes on."""
    target, _ = as_target(
        lambda p: tf.math.log1p(-(p["phi"] ** 2)) - 0.5 * p["mu"] ** 2 * (1.0 - p["phi"] ** 2),
        shapes={"mu": (), "phi": ()},
        constraints={"phi": "interval(-1, 1)"},
    )
    counted = CountedTarget(target)
    places = np.array(
        [[0.0, 0.0], [1e4, 10.0], [0.0, 30.0], [1e3, 100.0], [1e4, 30.0], [1e8, 20.0]]
    )
    # Within the format; falling beyond it; rising there, where the density itself falls.
    np.testing.assert_array_equal(
        counted.has_risen_beyond(places), [False, False, False, False, True, True]
    )
    assert counted.count == 8 and not counted.has_risen_beyond(places[:0]).any()
