"""Pictures of amortized models: what is on the axes, and refusals."""

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
    color = plotting.plot_image_grid(np.zeros((4, 4, 3, 3)))
    assert np.asarray(color.images[0].get_array()).shape[-1] == 3


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
    centers = np.array([part.get_offsets().mean(axis=0) for part in ax.collections])
    spread = np.mean([np.std(part.get_offsets(), axis=0) for part in ax.collections])
    gaps = [np.linalg.norm(centers[i] - centers[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
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


@pytest.fixture(scope="module")
def vae():
    """An untrained model of 4 x 3 images with a mixture prior."""
    from gmmvi_ext.amortized import build_vae
    from gmmvi_ext.amortized.priors import MixturePrior

    return build_vae((4, 3, 1), 2, prior=MixturePrior(3))


def tile(ax, row, column):
    """The 4 x 3 image in a place of a grid."""
    canvas = np.asarray(ax.images[0].get_array())
    return canvas[5 * row : 5 * row + 4, 4 * column : 4 * column + 3]


X = np.random.default_rng(0).integers(0, 2, size=(2, 4, 3, 1)).astype(np.float32)


def test_prior_samples_are_means_above_draws(vae):
    ax = plotting.plot_prior_samples(vae, num_latents=5, num_draws=3)
    assert np.asarray(ax.images[0].get_array()).shape == (4 * 5 - 1, 5 * 4 - 1)
    assert tile(ax, 0, 2).min() > 0.1 and tile(ax, 0, 2).max() < 0.9
    assert set(np.unique(tile(ax, 3, 4))) <= {0.0, 1.0}


def test_conditional_samples_stand_below_data_and_reconstructions(vae):
    ax = plotting.plot_conditional_samples(vae, X, num_draws=2)
    np.testing.assert_array_equal(tile(ax, 0, 1), X[1, ..., 0])
    np.testing.assert_allclose(tile(ax, 1, 1), vae.reconstruct(X)[1, ..., 0], rtol=1e-6)
    assert set(np.unique(tile(ax, 3, 0))) <= {0.0, 1.0}


def test_interpolations_go_from_datum_to_datum(vae):
    ax = plotting.plot_interpolations(vae, X[:1], X[1:], num_steps=3)
    codes = vae.encode(X)
    np.testing.assert_array_equal(tile(ax, 0, 0), X[0, ..., 0])
    middle = vae.decode(0.5 * (codes[:1] + codes[1:]))
    np.testing.assert_allclose(tile(ax, 0, 2), middle[0, ..., 0], rtol=1e-5)
    np.testing.assert_array_equal(tile(ax, 0, 4), X[1, ..., 0])
    with pytest.raises(ValueError, match="`ends` must have the shape of `starts`"):
        plotting.plot_interpolations(vae, X, X[:1])


def test_components_of_the_prior_come_by_weight(vae):
    vae.prior.parts[0].assign([0.0, 2.0, 1.0])
    ax = plotting.plot_prior_components(vae)
    loc = vae.prior.parts[1].numpy()
    for place, component in enumerate((1, 2, 0)):
        expected = vae.decode(loc[[component]])[0, ..., 0]
        np.testing.assert_allclose(tile(ax, 0, place), expected, rtol=1e-5)
    assert "weights 0.665 (first) to 0.090 (last)" in ax.get_title(loc="left")
    from gmmvi_ext.amortized import build_vae

    with pytest.raises(ValueError, match="the prior has no components"):
        plotting.plot_prior_components(build_vae((4, 3, 1), 2))


def test_pairs_show_prior_draws_and_codes(vae):
    axes = plotting.plot_prior_pairs(vae, X, [0, 1])
    assert axes.shape == (2, 2) and not axes[0, 1].axison
    assert [len(part.get_offsets()) for part in axes[1, 0].collections] == [2000, 1, 1]


def test_training_curves_have_a_panel_for_every_figure():
    keys = ("elbo_estimate", "elbo", "distortion", "evaluation_distortion", "rate", "control_loss")
    rows = [{"iteration": 10 * t} | dict.fromkeys(keys, -30.0 / (t + 1)) for t in range(20)]
    axes = plotting.plot_training_curves(rows)
    titles = [ax.get_title(loc="left") for ax in axes[0]]
    assert titles == ["ELBO", "distortion", "rate", "control loss"]
    assert len(axes[0, 0].lines) == 2 and len(axes[0, 2].lines) == 1
    np.testing.assert_allclose(axes[0, 1].lines[0].get_ydata(), -30.0 / np.arange(1, 21))
    without = [{**row, "control_loss": 0.0} for row in rows]
    assert plotting.plot_training_curves(without).shape == (1, 3)
    with pytest.raises(ValueError, match="`history` has no figures of a VAE"):
        plotting.plot_training_curves([{"iteration": 0}])
