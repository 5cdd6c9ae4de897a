"""Forest plots: whose intervals stand where."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.plotting import plot_forest
from gmmvi_ext.posterior import Posterior


def gaussian(loc, names=None) -> Posterior:
    components = FullGaussians(tf.constant([loc]), tf.eye(len(loc))[tf.newaxis])
    return Posterior(Mixture(tf.zeros([1]), components), parameter_names=names)


def test_bars_are_the_intervals_of_a_gaussian():
    ax = plot_forest(gaussian([0.0, 5.0]), prob=0.9, num_samples=40_000)
    thin, thick = (np.array(bars.get_segments())[:, :, 0] for bars in ax.collections)
    # Normal quantiles; ends of 40 000 draws are within 0.08 of them.
    np.testing.assert_allclose(thin, [[-1.645, 1.645], [3.355, 6.645]], atol=0.08)
    np.testing.assert_allclose(thick, [[-0.674, 0.674], [4.326, 5.674]], atol=0.08)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [0.0, 5.0], atol=0.03)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x[0]", "x[1]"]


def test_several_posteriors_stand_side_by_side_with_a_legend():
    ax = plot_forest({"prior": gaussian([0.0]), "posterior": gaussian([2.0])}, num_samples=500)
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["prior", "posterior"]
    ax.figure.canvas.draw()
    assert not legend.get_window_extent().overlaps(ax.get_window_extent())  # bars are all over it
    first, second = (line.get_ydata()[0] for line in ax.lines)
    assert first < 0 < second


def test_other_parameters_are_refused():
    with pytest.raises(ValueError, match="same parameters"):
        plot_forest({"a": gaussian([0.0]), "b": gaussian([0.0, 1.0])})
    with pytest.raises(ValueError, match="at least one"):
        plot_forest({})
