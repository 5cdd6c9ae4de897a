"""Pictures of two parameters: what is shaded, what is drawn, where figures live."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.plotting import animate_density_2d, plot_density_2d
from gmmvi_ext.plotting.density import _target_log_prob
from gmmvi_ext.plotting.style import new_figure, off_screen
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets.user_model import as_target


def log_density(p):
    """a ~ N(0, 1), b ~ Exponential(1)."""
    return -0.5 * p["a"] ** 2 - p["b"]


@pytest.fixture(scope="module")
def posterior():
    components = FullGaussians(
        tf.constant([[-1.0, 0.0], [1.0, 0.5]]), tf.eye(2, batch_shape=[2]) * 0.7
    )
    target, _ = as_target(
        log_density, shapes={"a": (), "b": ()}, constraints={"b": "positive"}, needs_gradient=True
    )
    mixture = Mixture(tf.math.log(tf.constant([0.4, 0.6])), components)
    return Posterior(mixture, target=target)


def test_the_target_is_shaded_in_the_space_of_its_parameters(posterior):
    points = np.array([[0.0, 1.0], [2.0, 0.1], [0.5, 7.0]])
    found = _target_log_prob(posterior, points)
    np.testing.assert_allclose(found, -0.5 * points[:, 0] ** 2 - points[:, 1], atol=1e-4)


def test_points_outside_the_support_are_not_shaded(posterior):
    assert _target_log_prob(posterior, np.array([[0.0, -1.0]])) == -np.inf
    ax = plot_density_2d(posterior, limits=((-2, 2), (-1, 3)), grid_size=20)
    assert ax.get_xlim() == (-2, 2)
    assert ax.get_ylim() == (-1, 3)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_given_axes_are_used_and_a_marginal_has_no_shades(posterior):
    ax = Figure().subplots()
    without = Posterior(posterior.mixture, layout=posterior.layout)
    assert plot_density_2d(without, ax, grid_size=20) is ax
    assert len(ax.figure.axes) == 1  # no color bar


def test_an_animation_has_a_frame_for_each_posterior(tmp_path, posterior):
    frames = animate_density_2d([posterior] * 3, titles=["0", "1", "2"], grid_size=15)
    frames.save(tmp_path / "learning.gif", writer="pillow")
    assert (tmp_path / "learning.gif").read_bytes().startswith(b"GIF8")


def test_other_numbers_of_parameters_are_refused(posterior):
    with pytest.raises(ValueError, match=r"two parameters, this posterior has \['a'\]"):
        plot_density_2d(posterior.marginal(["a"]))
    with pytest.raises(ValueError, match="at least one"):
        animate_density_2d([])


def test_figures_belong_to_pyplot_only_where_somebody_uses_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    new_figure((2, 2))
    assert "matplotlib.pyplot" not in sys.modules
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    shown = new_figure((2, 2))
    assert plt.get_fignums() == [*before, shown.number]
    plt.close(shown)
    with off_screen():
        new_figure((2, 2))
    assert plt.get_fignums() == before
