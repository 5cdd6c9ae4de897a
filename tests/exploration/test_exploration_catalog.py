"""Modes are counted once, by the mass they have; what is unseen is estimated by the literature."""

import numpy as np
import pytest
from scipy.stats import beta

from gmmvi_ext.exploration.catalog import (
    Catalog,
    Mode,
    distinct,
    estimated_number,
    unseen_limit,
)


def mode(place, log_mass=0.0, num_found=0, width=1.0) -> Mode:
    loc = np.atleast_1d(np.asarray(place, float))
    top = log_mass - len(loc) * (np.log(width) + 0.5 * np.log(2 * np.pi))
    return Mode(loc, width * np.eye(len(loc)), log_mass, top, num_found)


def test_ends_of_searches_are_counted_at_the_mode_they_are_in():
    ends = np.array([[0.1], [-0.2], [50.3], [0.0]])
    found = Catalog().with_ends(ends, [mode(0.0), mode(50.0)])
    assert sorted(each.num_found for each in found.modes) == [1, 3]
    again = found.with_ends(np.array([[49.0]]), [])
    assert sorted(each.num_found for each in again.modes) == [2, 3] and again.num_searches == 5


def test_a_narrow_mode_beside_a_wide_one_is_not_taken_for_it():
    found = Catalog([mode(0.0, 0.0, width=0.01), mode(5.0, 1.0, width=1.0)])
    np.testing.assert_array_equal(found.matched(np.array([[0.001], [0.5], [5.5]])), [1, -1, 0])


def test_optima_without_mass_do_not_matter():
    many = [mode(10.0 * i, -20.0, 1) for i in range(1, 9)]
    found = Catalog([mode(0.0, 0.0, 12), *many], 20)
    assert len(found.relevant) == 1 and found.new_mode_chance == 0.0
    assert found.estimated_number == 1


def test_the_chance_of_a_new_mode_is_that_of_good():
    found = Catalog([mode(10.0 * i, 0.0, count) for i, count in enumerate((1, 1, 3, 5))], 10)
    assert found.new_mode_chance == pytest.approx(0.2)
    assert Catalog().new_mode_chance == 1.0


def test_the_number_of_modes_is_that_of_chao():
    assert estimated_number([1, 1, 1, 2, 5]) == pytest.approx(5 + 3 * 2 / (2 * 2))
    assert estimated_number([1] * 60) == pytest.approx(60 + 60 * 59 / 2)
    assert estimated_number([4, 9]) == 2 and estimated_number([]) == 0


def test_the_estimate_of_the_number_holds_on_average():
    """200 draws of 100 equal classes, 100 times: Chao is a lower bound, nearly reached."""
    rng = np.random.default_rng(0)
    counts = [np.bincount(rng.integers(100, size=200), minlength=100) for _ in range(100)]
    mean = np.mean([estimated_number(count[count > 0]) for count in counts])
    assert 95 < mean < 105  # standard error below 1


@pytest.mark.parametrize(("met", "searches"), [(0, 60), (3, 60), (59, 60), (1, 7)])
def test_the_limit_is_that_of_clopper_and_pearson(met, searches):
    expected = beta.ppf(0.95, met + 1, searches - met)
    assert unseen_limit(met, searches) == pytest.approx(expected, rel=1e-9)


def test_nothing_searched_or_all_missed_leaves_everything_open():
    assert unseen_limit(0, 0) == unseen_limit(5, 5) == 1.0
    assert unseen_limit(0, 60) == pytest.approx(1 - 0.05 ** (1 / 60))


def test_distinct_points_are_the_first_of_each_place():
    points = np.array([[0.0, 0.0], [0.0, 0.005], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(distinct(points, np.ones(2)), [0, 2, 3])
    assert len(distinct(np.zeros((0, 2)), np.ones(2))) == 0


def test_the_figures_are_plain_data():
    import json

    found = Catalog([mode([1.0, 2.0], 0.5, 3)], 3)
    assert json.loads(json.dumps(found.as_dict()))["modes"][0]["location"] == [1.0, 2.0]


def test_points_belong_to_the_nearest_mode_whose_bulk_holds_them():
    dim = 45
    other = np.full(dim, 9.0 / np.sqrt(dim))
    found = Catalog([mode(np.zeros(dim), 1.0), mode(other, 0.0)])
    np.testing.assert_array_equal(found.matched(np.array([np.zeros(dim), other])), [0, 1])


def test_in_many_dimensions_a_mode_within_the_bulk_of_another_is_not_covered_by_it():
    dim = 45
    other = np.full((1, dim), 9.0 / np.sqrt(dim))
    top = -0.5 * dim * np.log(2 * np.pi)
    found = Catalog([mode(np.zeros(dim), 0.0)])
    assert found.matched(other)[0] == 0
    assert not found.covers(other, np.array([top]))[0]
    assert found.covers(other, np.array([top - 40.5]))[0]
    assert not Catalog().covers(other, np.array([top])).any()


def test_the_top_of_a_skewed_mode_is_covered_however_little_mass_its_gaussian_has():
    dim, height = 50, -5.0
    laplace = height + 0.5 * dim * np.log(2 * np.pi)
    skewed = mode(np.zeros(dim), log_mass=laplace - 12.0)._replace(log_prob=height)
    found = Catalog([skewed])
    top = np.zeros((1, dim))
    assert found.covers(top, np.array([height]))[0]
    assert not found.covers(top, np.array([height + 4.0]))[0]
    beside = top + np.eye(dim)[0]  # a standard deviation away
    assert found.covers(beside, np.array([height - 0.5]))[0]
    assert not found.covers(beside, np.array([height + 3.5]))[0]
