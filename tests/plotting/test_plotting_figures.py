"""Pictures: what is drawn is what was given, and nothing global changes."""

import dataclasses

import matplotlib
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from matplotlib import image
from matplotlib.figure import Figure

from gmmvi_ext import plotting
from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.targets.callables import CallableTarget

tfb = tfp.bijectors

SHAPES = {"mu": (), "tau": (), "beta": (2,)}


def make_posterior(num=3, **options):
    rng = np.random.default_rng(0)
    loc = tf.constant(2 * rng.normal(size=(num, 4)))
    scale = tf.linalg.diag(tf.constant(rng.uniform(0.5, 1.0, size=(num, 4))))
    weights = tf.constant(np.log(rng.dirichlet(5 * np.ones(num))))
    mixture = Mixture(weights, FullGaussians(loc, scale))
    target = CallableTarget(lambda x: mixtures.log_prob(mixture, x), 4, dtype=tf.float64)
    return Posterior(mixture, target=target, **options)


@pytest.fixture
def posterior():
    return make_posterior(bijector={"tau": tfb.Softplus()}, parameter_names=SHAPES)


def rows(num=40, *, start=-1e5):
    made = []
    for i in range(num):
        ids = [0, 1, 2] if i < num // 2 else [0, 2, 3, 4]
        made.append(
            {
                "iteration": 10 * i,
                "num_target_evaluations": 100 * i,
                "train_seconds": 0.1 * i,
                "elbo": -5.0 + start * np.exp(-i) + 0.01 * (-1) ** i,
                "elbo_se": 0.01,
                "num_components": len(ids),
                "component_ids": ids,
                "weights": [1 / len(ids)] * len(ids),
            }
        )
    return made


def texts(ax):
    return " ".join(t.get_text() for t in [*ax.texts, *(ax.title, ax._left_title, ax._right_title)])


def test_elbo_looks_at_the_converged_part_and_shows_the_start_in_an_inset():
    ax = plotting.plot_elbo(rows())
    low, high = ax.get_ylim()
    assert -5.5 < low < -5.03 and -4.97 < high < -4.5
    (inset,) = ax.child_axes
    assert inset.get_yscale() == "log"
    line = ax.lines[0]
    np.testing.assert_allclose(line.get_xdata(), 100 * np.arange(40))
    assert line.get_ydata()[-1] == pytest.approx(rows()[-1]["elbo"])
    assert "-5.0" in texts(ax)


def test_elbo_of_a_calm_run_has_no_inset_and_all_axes_work():
    calm = rows(start=0.0)
    for x in ("iteration", "num_target_evaluations", "train_seconds"):
        ax = plotting.plot_elbo(calm, x=x)
        assert not ax.child_axes
        assert ax.lines[0].get_xdata()[-1] == calm[-1][x]
    with pytest.raises(ValueError, match="`x` must be one of"):
        plotting.plot_elbo(calm, x="time")


@pytest.mark.parametrize("metrics", [[], [{"elbo": None, "iteration": 1}], rows(1), rows(2)])
def test_short_and_empty_runs_are_drawn(metrics):
    ax = plotting.plot_elbo(metrics)
    assert "ELBO over the run" in texts(ax)
    assert "Component weights" in texts(plotting.plot_weights(metrics))
    ax.figure.canvas.draw()


def test_non_finite_rows_are_skipped():
    broken = rows()
    broken[7]["elbo"] = None
    broken[9]["elbo"] = float("nan")
    broken[11]["elbo"] = float("-inf")
    assert plotting.plot_elbo(broken).lines[0].get_xdata().size == 37


def test_report_colors_the_elbo(posterior):
    report = posterior.report(500)
    ax = plotting.plot_elbo(rows(), report=report)
    assert "TRUST" in texts(ax)


def test_weights_stack_to_one_and_components_keep_their_color():
    ax = plotting.plot_weights(rows())
    areas = ax.collections
    assert len(areas) == 5 + 1  # five ids over the run and the rest
    first, again = plotting.plot_weights(rows(10)), plotting.plot_weights(rows(30))
    np.testing.assert_array_equal(
        first.collections[1].get_facecolor(), again.collections[1].get_facecolor()
    )
    tops = max(path.vertices[:, 1].max() for area in areas for path in area.get_paths())
    assert tops == pytest.approx(1.0)
    assert "4 components at the end" in texts(ax)


def test_weights_with_unlisted_components_show_the_rest():
    part = rows()
    for row in part:
        row["weights"] = [0.5 * w for w in row["weights"]]
    ax = plotting.plot_weights(part)
    legend = ax.get_legend()
    assert legend.get_texts()[0].get_text() == "all others"
    ax.figure.canvas.draw()
    assert not legend.get_window_extent().overlaps(ax.get_window_extent())  # areas are all over it


def test_khat_shows_number_limit_and_verdict(posterior):
    report = posterior.report(2000)
    ax = plotting.plot_khat(report)
    assert f"k-hat {report.khat:.2f} <= {report.khat_limit:.2f}" in texts(ax)
    assert "TRUST" in texts(ax) and "ESS 100" in texts(ax)
    bad = posterior.with_target(
        CallableTarget(lambda x: -0.01 * tf.reduce_sum(x**2, -1), 4, dtype=tf.float64)
    ).report(2000)
    ax = plotting.plot_khat(bad)
    assert "DO NOT TRUST" in texts(ax) and ">" in texts(ax)
    unchecked = Posterior(posterior.mixture).report(200)
    assert "no ratios: `report()` makes them" in texts(plotting.plot_khat(unchecked))


def test_pairs_have_a_grid_labels_and_ellipses(posterior):
    grid = posterior.plot_pairs(num_points=300, num_samples=1000)
    assert grid.shape == (4, 4)
    assert [ax.get_xlabel() for ax in grid[-1]] == ["mu", "tau", "beta[0]", "beta[1]"]
    assert len(grid[1, 0].lines) == 6  # three components, one and two standard deviations
    inner = grid[2, 0].lines
    loc = posterior.unconstrained.loc.numpy()
    heaviest = int(np.argmax(posterior.mixture.log_weights))
    middle = [inner[-1].get_xdata(), inner[-1].get_ydata()]  # the heaviest on top
    np.testing.assert_allclose(
        [0.5 * (m.min() + m.max()) for m in middle], loc[heaviest, [0, 2]], atol=1e-2
    )
    ellipse = grid[2, 1].lines[0].get_xdata()  # tau passes through the bijector
    assert (ellipse > 0).all()
    assert not grid[0, 1].axison


def test_pairs_choose_by_name_and_take_axes(posterior):
    axes = Figure().subplots(2, 2)
    grid = plotting.plot_pairs(posterior, axes, names=["beta"], num_samples=500)
    assert grid[0, 0] is axes[0, 0]
    assert grid[1, 0].get_ylabel() == "beta[1]"
    with pytest.raises(ValueError, match="unknown parameter 'gamma'"):
        plotting.plot_pairs(posterior, names=["gamma"])
    with pytest.raises(ValueError, match="2 x 2 axes"):
        plotting.plot_pairs(posterior, Figure().subplots(1, 2), names=["beta"])


def test_exact_marginals_integrate_to_one(posterior):
    axes = posterior.plot_marginals(num_samples=2000)
    for ax in axes:
        x, density = ax.lines[0].get_data()
        assert np.trapezoid(density, x) == pytest.approx(1.0, abs=0.01)
    assert axes[1].lines[0].get_xdata().min() > 0


def test_a_wide_component_without_weight_does_not_spoil_the_marginals():
    scale = tf.constant([[[1.0]], [[40.0]]], tf.float64)
    components = FullGaussians(tf.zeros([2, 1], tf.float64), scale)
    mixture = Mixture(tf.constant([0.0, -69.0], tf.float64), components)
    (ax,) = plotting.plot_marginals(
        Posterior(mixture, bijector={"tau": tfb.Exp()}, parameter_names={"tau": ()})
    )
    x, density = ax.lines[0].get_data()
    # The log-normal of the component that has weight, between the limits of the figure.
    exact = np.exp(-0.5 * np.log(x) ** 2) / (x * np.sqrt(2 * np.pi))
    assert len(x) > 100
    np.testing.assert_allclose(density, exact, rtol=1e-2)


def test_marginals_of_mixing_bijectors_are_histograms():
    posterior = make_posterior(
        bijector={"w": tfb.IteratedSigmoidCentered()}, parameter_names={"w": (5,)}
    )
    axes = posterior.plot_marginals(names=["w[1]", 3], num_samples=1000)
    assert len(axes) == 2 and axes[0].patches
    assert len(posterior.plot_pairs(num_samples=500)[1, 0].lines) == 0


def test_one_mixing_parameter_leaves_the_others_exact():
    shapes = {"w": (3,), "mu": (), "tau": ()}
    bijectors = {"w": tfb.IteratedSigmoidCentered(), "tau": tfb.Exp()}
    posterior = make_posterior(bijector=bijectors, parameter_names=shapes)
    axes = posterior.plot_marginals(names=["mu", "w", "tau"], num_samples=2000)
    for ax, coordinate in ((axes[0], 2), (axes[-1], 3)):  # mu, tau
        x, density = ax.lines[0].get_data()
        assert np.trapezoid(density, x) == pytest.approx(1.0, abs=0.01)
        draws = posterior.unconstrained.sample(2000, 0)[:, coordinate]
        middle = np.median(draws if coordinate == 2 else np.exp(draws))
        below = x <= middle
        assert np.trapezoid(density[below], x[below]) == pytest.approx(0.5, abs=0.06)
    assert not axes[1].lines
    grid = posterior.plot_pairs(names=["w[0]", "mu", "tau"], num_samples=500)
    assert len(grid[2, 1].lines) == 6 and not grid[1, 0].lines and not grid[2, 0].lines


def test_parameters_that_are_left_out_are_counted(posterior):
    axes = posterior.plot_marginals(max_parameters=2, num_samples=500)
    assert "2 of 4 parameters" in texts(axes[-1])
    axes = posterior.plot_marginals(names=["mu", "beta"], max_parameters=2, num_samples=500)
    assert "2 of 3 parameters" in texts(axes[-1])
    assert "parameters" not in texts(posterior.plot_marginals(num_samples=500)[-1])
    assert "3 of 4 parameters" in texts(posterior.plot_forest(max_parameters=3, num_samples=500))


def test_components_are_grouped_by_mode(posterior):
    ax = posterior.plot_components()
    heights = [patch.get_height() for patch in ax.patches]
    assert sum(heights) == pytest.approx(1.0)
    assert "3 components" in texts(ax)
    single = make_posterior(num=1).plot_components()
    assert "1 component, 1 mode" in texts(single)


def test_overview_carries_the_verdict(posterior):
    posterior.report(500)
    for metrics in (rows(), []):
        figure = plotting.plot_overview(posterior, metrics, title="a model")
        banner = figure.subfigs[0]
        assert banner.texts[0].get_text().startswith("a model\nTRUST")
        elsewhere = [text.get_text() for ax in figure.axes for text in ax.texts]
        assert "TRUST" not in elsewhere  # the verdict is said once
        figure.canvas.draw()


@pytest.mark.parametrize("sentences", [1, 12])
def test_long_paths_and_verdicts_stay_within_the_banner(posterior, sentences):
    report = dataclasses.replace(
        posterior.report(500), verdict=sentences * (20 * "words " + "end. ")
    )
    posterior.last_report = report
    title = f"auto on python:/{20 * 'folder/'}my_model.py:log_density, seed 0"
    banner = plotting.plot_overview(posterior, title=title).subfigs[0]
    banner.figure.canvas.draw()
    (text,) = banner.texts
    first = text.get_text().splitlines()[0]
    assert first.startswith("auto on python:/") and first.endswith(
        "my_model.py:log_density, seed 0"
    )
    extent, room = text.get_window_extent(), banner.bbox
    assert room.x0 <= extent.x0 and extent.x1 <= room.x1
    assert room.y0 <= extent.y0 and extent.y1 <= room.y1


def test_given_axes_are_returned_and_no_global_state_changes(posterior):
    before = dict(matplotlib.rcParams)
    backend = matplotlib.get_backend(auto_select=False)
    report = posterior.report(300)
    for draw in (
        lambda ax: plotting.plot_elbo(rows(), ax),
        lambda ax: plotting.plot_weights(rows(), ax),
        lambda ax: plotting.plot_khat(report, ax),
        lambda ax: plotting.plot_components(posterior, ax),
    ):
        ax = Figure().subplots()
        assert draw(ax) is ax
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.get_backend(auto_select=False) == backend


def test_pictures_of_the_same_posterior_are_the_same(tmp_path, posterior):
    for name in ("a", "b"):
        posterior.plot_pairs(num_samples=500)[0, 0].figure.savefig(tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_few_draws_for_another_purpose_do_not_thin_a_plot(posterior):
    posterior.report(3000)
    posterior.scored_draws(100, 5)
    assert len(posterior.kept_draws.x) == 3000
    scatter = plotting.plot_pairs(posterior, num_points=2000)[1, 0].collections[0]
    assert len(scatter.get_offsets()) == 2000


def test_draws_that_are_asked_for_are_made_where_fewer_are_kept():
    posterior = make_posterior()
    posterior.scored_draws(100)
    assert len(posterior.kept_draws.x) == 100
    plotting.plot_marginals(posterior)
    assert len(posterior.kept_draws.x) == 100  # by default what there is
    plotting.plot_marginals(posterior, num_samples=1000)
    assert len(posterior.kept_draws.x) == 1000


def test_savefig_writes_in_the_resolution_of_print(tmp_path):
    axes = plotting.plot_components(make_posterior())
    for options, dpi in (({}, 300), ({"dpi": 50}, 50)):
        axes.figure.savefig(tmp_path / "plot.png", **options)
        height, width, _ = image.imread(tmp_path / "plot.png").shape
        assert (width, height) == (7 * dpi, round(4.2 * dpi))
    with matplotlib.rc_context({"savefig.dpi": 80}):
        axes.figure.savefig(tmp_path / "plot.png")
    assert image.imread(tmp_path / "plot.png").shape[1] == 7 * 80


def test_constant_entries_are_left_out_and_counted():
    layout = {"L": (2, 2)}
    posterior = Posterior(
        Mixture(tf.zeros([1]), FullGaussians(tf.zeros([1, 1]), tf.eye(1)[tf.newaxis])),
        parameter_names=layout,
        bijector={"L": "correlation_cholesky"},
    )
    axes = plotting.plot_marginals(posterior, num_samples=500)
    assert [ax.get_xlabel() for ax in axes] == ["L[1,0]", "L[1,1]"]
    assert axes[-1].get_title(loc="right") == "2 of 4 parameters (2 constant)"
