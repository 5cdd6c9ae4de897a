"""L-BFGS from many points: minima, walls, budget; no run depends on the others."""

import numpy as np
import pytest

from gmmvi_ext.exploration.lbfgs import MAX_LINE_SEARCH, minimize


def rosenbrock(x):
    low, high = x[:, :-1], x[:, 1:]
    off = high - low**2
    grad = np.zeros_like(x)
    grad[:, :-1] = -2.0 * (1.0 - low) - 400.0 * off * low
    grad[:, 1:] += 200.0 * off
    return np.sum(100.0 * off**2 + (1.0 - low) ** 2, axis=1), grad


def points(num=7, dim=4, seed=0):
    return np.random.default_rng(seed).normal(scale=2.0, size=(num, dim))


def test_finds_the_minimum_of_a_badly_scaled_quadratic():
    scales = np.array([1e-2, 1.0, 30.0, 1e3])

    def quadratic(x):
        return 0.5 * np.sum(scales * (x - 3.0) ** 2, axis=1), scales * (x - 3.0)

    found = minimize(quadratic, points(), [60], np.inf).x
    # The gradient at the end is below 1e-3 in every coordinate.
    assert np.all(np.abs(scales * (found - 3.0)) <= 1e-3)


def test_finds_the_valley_of_rosenbrock_in_two_dimensions():
    found = minimize(rosenbrock, points(dim=2), [80], np.inf).x
    np.testing.assert_allclose(found, 1.0, atol=5e-3)


def test_a_run_does_not_depend_on_the_others():
    together = minimize(rosenbrock, points(), [3, 9], np.inf).saved
    for row, point in enumerate(points()):
        alone = minimize(rosenbrock, point[None], [3, 9], np.inf).saved
        for left, right in zip(alone, together, strict=True):
            np.testing.assert_allclose(left[0], right[row], rtol=1e-9)


def test_values_never_rise_from_look_to_look():
    saved = [0 * points(), *minimize(rosenbrock, points(), list(range(1, 20)), np.inf).saved]
    saved[0] = points()
    values = np.array([rosenbrock(x)[0] for x in saved])
    assert np.all(np.diff(values, axis=0) <= 0) and np.all(values[-1] < 0.1 * values[0])


@pytest.mark.parametrize("most", [0, 6, 7, 20, 50, 119, 120])
def test_the_evaluations_are_never_exceeded(most):
    seen = []

    def counted(x):
        seen.append(len(x))
        return rosenbrock(x)

    saved = minimize(counted, points(), [5, 40], most).saved
    assert sum(seen) <= most and len(saved) == 2
    # What is left is less than the next round would have taken.
    assert sum(seen) > most - len(points())
    if most < len(points()):
        np.testing.assert_array_equal(saved[-1], points())


def test_walls_are_met_and_not_passed():
    def walled(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return -np.log(1.0 - x[:, 0]) - 0.5 * x[:, 0] + 0.5 * np.sum(x**2, axis=1), (
                x + np.array([1.0, 0.0]) * (1.0 / (1.0 - x[:, :1]) - 0.5)
            )

    start = np.array([[-3.0, 2.0], [0.9, -1.0], [0.0, 5.0], [4.0, 0.0]])
    found = minimize(walled, start, [40], np.inf).x
    np.testing.assert_array_equal(found[3], start[3])  # begun outside
    # 1 / (1 - x) - 1/2 + x = 0
    minimum = (3.0 - np.sqrt(17.0)) / 4.0
    np.testing.assert_allclose(found[:3], np.tile([minimum, 0.0], (3, 1)), atol=2e-3)


def test_a_slope_without_end_stops_at_the_largest_coordinate():
    asked = []

    def slope(x):
        asked.append(np.max(np.abs(x)))
        return -x[:, 0], np.tile([-1.0, 0.0], (len(x), 1))

    found = minimize(slope, np.zeros([2, 2]), [50], np.inf, largest=1e3).x
    assert max(asked) <= 1e3 and np.all(found[:, 0] > 400)
    assert len(asked) <= 1 + 50 * MAX_LINE_SEARCH


def test_nothing_to_do_and_nothing_finite():
    def flat(x):
        return np.zeros(len(x)), np.zeros_like(x)

    def nowhere(x):
        return np.full(len(x), np.nan), np.full_like(x, np.nan)

    for fn in (flat, nowhere):
        saved = minimize(fn, points(), [2, 4], np.inf).saved
        assert len(saved) == 2
        np.testing.assert_array_equal(saved[-1], points())
