"""Pictures of amortised models: what is on the axes, and refusals."""

import numpy as np
import pytest

from gmmvi_ext import plotting


def test_image_grid_places_every_image():
    images = np.zeros((5, 4, 3))
    images[3] = 1.0
    ax = plotting.plot_image_grid(images, num_columns=3)
    canvas = np.asarray(ax.images[0].get_array())
    assert canvas.shape == (2 * 4 + 1, 3 * 3 + 2)
    np.testing.assert_array_equal(canvas[5:9, 0:3], 1.0)
    np.testing.assert_array_equal(canvas[0:4, 0:3], 0.0)
    colour = plotting.plot_image_grid(np.zeros((4, 4, 3, 3)))
    assert np.asarray(colour.images[0].get_array()).shape[-1] == 3


def test_reconstructions_stand_below_their_data():
    images = np.linspace(0, 1, 3)[:, None, None] * np.ones((3, 2, 2))
    ax = plotting.plot_reconstructions(images, 1 - images, num_columns=2)
    canvas = np.asarray(ax.images[0].get_array())
    assert canvas.shape == (4 * 2 + 3, 2 * 2 + 1)
    assert canvas[0, 0] == 0.0 and canvas[3, 0] == 1.0
    assert canvas[0, 3] == 0.5 and canvas[3, 3] == 0.5
    assert canvas[6, 0] == 1.0 and canvas[9, 0] == 0.0
    with pytest.raises(ValueError, match="must have the shape of `images`"):
        plotting.plot_reconstructions(images, images[:2])


@pytest.mark.parametrize("size", [1, 2, 5])
def test_latent_space_shows_every_code_by_class(size):
    labels = np.arange(60) % 3
    codes = np.random.default_rng(0).normal(size=(60, size)) + 4.0 * labels[:, None]
    ax = plotting.plot_latent_space(codes, labels)
    assert sum(len(part.get_offsets()) for part in ax.collections) == 60
    assert len(ax.collections) == 3
    assert {text.get_text() for text in ax.texts} >= {"0", "1", "2"}


def test_the_plane_separates_classes_that_the_widest_axes_hide():
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 3
    codes = generator.normal(size=(300, 6)) * [30, 30, 1, 1, 1, 1]
    codes[:, 2] += 8.0 * (labels == 1)
    codes[:, 3] += 8.0 * (labels == 2)
    ax = plotting.plot_latent_space(codes, labels)
    centres = np.array([part.get_offsets().mean(axis=0) for part in ax.collections])
    spread = np.mean([np.std(part.get_offsets(), axis=0) for part in ax.collections])
    gaps = [np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(gaps) > 4 * spread


def test_component_usage_adds_up():
    weights = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    ax = plotting.plot_component_usage(weights, np.array([0, 0, 1, 1]))
    heights = np.array([bar.get_height() for bar in ax.patches]).reshape(2, 2)
    np.testing.assert_allclose(heights.sum(axis=0), weights.mean(axis=0))
    np.testing.assert_allclose(heights[0], [1.5 / 4, 0.5 / 4])


def test_refusals():
    with pytest.raises(ValueError, match="`images` must have the shape"):
        plotting.plot_image_grid(np.zeros((0, 4, 4)))
    with pytest.raises(ValueError, match="`codes` must have the shape"):
        plotting.plot_latent_space(np.zeros(4))
    with pytest.raises(ValueError, match="`labels` must have the shape"):
        plotting.plot_latent_space(np.zeros((4, 2)), np.zeros(3))
    with pytest.raises(ValueError, match="`weights` must have the shape"):
        plotting.plot_component_usage(np.zeros(3))
