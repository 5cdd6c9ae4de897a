"""Pictures say what is wrong with their arguments, and draw any name."""

import re

import matplotlib
import pytest

from gmmvi_ext import plotting
from gmmvi_ext.models import initial_mixture
from gmmvi_ext.plotting.style import plain_text
from gmmvi_ext.posterior import Posterior

OF_NAMES = [plotting.plot_marginals, plotting.plot_pairs, plotting.plot_forest]


@pytest.fixture(scope="module")
def posterior():
    return Posterior(initial_mixture(2), parameter_names={"$x_{bad$": (), "a$\n": ()})


@pytest.mark.parametrize(
    ("name", "label"),
    [("$x_{bad$", r"\$x_{bad\$"), (r"$\mu$", r"$\mu$"), ("a_b", "a_b"), ("a$", r"a\$")],
)
def test_dollars_that_enclose_no_formula_are_dollars(name, label):
    assert plain_text(name) == label


@pytest.mark.parametrize("plot", ["marginals", "pairs", "density_2d", "forest"])
def test_any_name_is_drawn(posterior, plot, tmp_path):
    options = {"grid_size": 10} if plot == "density_2d" else {"num_samples": 200}
    drawn = getattr(plotting, f"plot_{plot}")(posterior, **options)
    axes = drawn if isinstance(drawn, matplotlib.axes.Axes) else drawn.ravel()[0]
    axes.figure.savefig(tmp_path / "picture.png", dpi=30)


@pytest.mark.parametrize(
    "plot", [plotting.plot_marginals, plotting.plot_pairs, plotting.plot_forest]
)
@pytest.mark.parametrize("count", [0, -1, 1.5, "a", None])
def test_numbers_of_parameters_are_numbers(posterior, plot, count):
    with pytest.raises(ValueError, match="`max_parameters` must be an integer"):
        plot(posterior, max_parameters=count)


@pytest.mark.parametrize(
    "plot", [plotting.plot_marginals, plotting.plot_pairs, plotting.plot_forest]
)
def test_no_name_is_no_picture(posterior, plot):
    with pytest.raises(ValueError, match="`names` is empty"):
        plot(posterior, names=[])


@pytest.mark.parametrize("count", [0, 1.5, "a"])
def test_numbers_of_points_are_numbers(posterior, count):
    with pytest.raises(ValueError, match="`num_points` must be an integer from 1"):
        plotting.plot_pairs(posterior, num_points=count, num_samples=200)
    with pytest.raises(ValueError, match="`num_samples` must be an integer from 1"):
        plotting.plot_marginals(posterior, num_samples=count)
    with pytest.raises(ValueError, match="`grid_size` must be an integer"):
        plotting.plot_density_2d(posterior, grid_size=count)


@pytest.mark.parametrize(
    "limits", [(0, 1), ((0, 1),), ((0, 1), (1, 0)), ((0, 0), (0, 1)), ((0, float("inf")), (0, 1))]
)
def test_limits_are_two_intervals(posterior, limits):
    with pytest.raises(ValueError, match=re.escape("`limits` must be ((low, high), (low, high))")):
        plotting.plot_density_2d(posterior, limits=limits, grid_size=10)


def test_a_list_of_posteriors_has_no_labels(posterior):
    with pytest.raises(TypeError, match="a dict from labels to posteriors"):
        plotting.plot_forest([posterior])


def test_nothing_to_compare_is_said():
    with pytest.raises(ValueError, match="at least one target"):
        plotting.plot_comparison_page({})
