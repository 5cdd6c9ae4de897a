"""One page: the verdict in words above the four pictures that support it."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from gmmvi_ext.plotting.components import plot_components
from gmmvi_ext.plotting.elbo import plot_elbo
from gmmvi_ext.plotting.khat import plot_khat
from gmmvi_ext.plotting.marginals import (
    choose_elements,
    draw_marginal,
    draws_to_plot,
    element_labels,
    note_left_out,
    write_key,
)
from gmmvi_ext.plotting.style import LEVEL_COLORS, new_figure, plain_text, shortened
from gmmvi_ext.plotting.weights import plot_weights
from gmmvi_ext.ranges import checked

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["plot_overview"]

NUM_MARGINALS = 4
LINE = 120  # characters of the banner
BODY, LEAST_BANNER, LINE_HEIGHT = 7.56, 0.84, 0.18  # inches
COLUMNS = 12  # of the grid: halves above, up to four marginals below


@checked
def plot_overview(
    posterior: "Posterior", metrics: Sequence[Mapping] = (), *, title: str = ""
) -> Figure:
    """The verdict, ELBO over the run, importance ratios, weights (or components) and marginals.

    Args:
      posterior: a `Posterior`; its `last_report` is used, or made.
      metrics: rows of `metrics.jsonl`; without them the run is left out.
      title: what was fitted.

    Returns:
      the figure.

    Example:
        >>> from gmmvi_ext.plotting import plot_overview
        >>> from gmmvi_ext.models import initial_mixture
        >>> from gmmvi_ext.targets import CallableTarget
        >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
        >>> row = {"num_components": 2, "component_ids": [0, 1], "weights": [0.4, 0.6]}
        >>> row["elbo_se"] = 0.01
        >>> steps = [{"num_target_evaluations": i, "elbo": -1.0 / i} for i in range(1, 11)]
        >>> rows = [row | step for step in steps]
        >>> figure = plot_overview(posterior, rows, title="Gaussian")
        >>> figure.savefig("overview.png")
    """
    report = posterior.last_report or posterior.report()
    words = textwrap.wrap(report.verdict, LINE)
    if title:
        words.insert(0, plain_text(shortened(title, LINE)))
    height = max(LEAST_BANNER, LINE_HEIGHT * (len(words) + 1))
    figure = new_figure((11.0, BODY + height))
    banner, body = figure.subfigures(2, 1, height_ratios=[height, BODY])
    banner.set_facecolor(LEVEL_COLORS[report.level])
    banner.text(
        0.5,
        0.5,
        "\n".join(words),
        ha="center",
        va="center",
        color="white",
        fontsize=10,
        fontweight="bold",
    )
    chosen = choose_elements(posterior, None, NUM_MARGINALS)
    rows = [2, 1.6] if metrics else [2]
    grid = body.add_gridspec(len(rows) + 1, COLUMNS, height_ratios=[*rows, 1.6])
    half = COLUMNS // 2
    if metrics:
        plot_elbo(metrics, body.add_subplot(grid[0, :half]), report=report, with_badge=False)
        plot_weights(metrics, body.add_subplot(grid[1, :half]))
        plot_khat(report, body.add_subplot(grid[0, half:]), with_badge=False)
        plot_components(posterior, body.add_subplot(grid[1, half:]))
    else:
        plot_khat(report, body.add_subplot(grid[0, :half]), with_badge=False)
        plot_components(posterior, body.add_subplot(grid[0, half:]))
    width = COLUMNS // len(chosen)
    cells = [body.add_subplot(grid[-1, i * width : (i + 1) * width]) for i in range(len(chosen))]
    draws = draws_to_plot(posterior, None, 0)
    for cell, element in zip(cells, chosen, strict=True):
        draw_marginal(posterior, cell, element, draws)
        cell.set_xlabel(element_labels(posterior)[element], fontsize=9)
    write_key(cells[0])
    note_left_out(cells[-1], posterior, None, len(chosen))
    return figure
