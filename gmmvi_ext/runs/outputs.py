"""What a run leaves behind at its end: summary, SavedModel, plots; and what it prints."""

import math
from collections.abc import Callable
from pathlib import Path

from gmmvi_ext.config.config import Config
from gmmvi_ext.export.folder import remove_damaged
from gmmvi_ext.posterior.evaluation_cost import MAX_SECONDS
from gmmvi_ext.runs.pictures import write_pictures
from gmmvi_ext.runs.record import result_summary, summary_page
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.loop import TrainingResult
from gmmvi_ext.training.writers import MAX_DRAWN, read_metrics, write_json
from gmmvi_ext.whole_files import write_whole

__all__ = ["final_report", "write_outputs"]

# Keys of `summary.json` that come from the report; the others come from the run.
_REPORT_KEYS = (
    "elbo",
    "elbo_se",
    "neg_elbo",
    "log_evidence",
    "log_evidence_se",
    "khat",
    "ess",
    "num_modes",
    "num_components",
    "verdict",
    "trust",
)
# What the stages after training add to.
_RUN_KEYS = ("num_target_evaluations", "train_seconds")


def final_report(config: Config, posterior):
    """The report with as many draws as the file says, or as there is time for.

    A run with a limit gives its report as long again, and no less than reports take by themselves.
    """
    count, seconds = config.outputs.num_report_samples, config.training.max_seconds
    if count is not None or seconds is None or not math.isfinite(seconds):
        return posterior.report(count, config.seed)
    return posterior.report(seed=config.seed, max_seconds=max(seconds, MAX_SECONDS))


def write_outputs(
    config: Config,
    workdir: WorkDir,
    posterior,
    result: TrainingResult,
    say: Callable[[str], object] = print,
) -> list[Path]:
    """Writes summary, export and plots of a posterior, and says what the report says.

    Args:
      config: of the run.
      workdir: where to.
      posterior: `gmmvi_ext.Posterior` with its target and `run_info`.
      result: of the training.
      say: takes lines for the user.

    Returns:
      the plots.
    """
    outputs = config.outputs
    report = final_report(config, posterior)
    summary = {key: getattr(report, key) for key in _REPORT_KEYS} | result_summary(result)
    for key in _RUN_KEYS:
        summary[key] = posterior.run_info.get(key, summary[key])
    audit = posterior.run_info.get("audit")
    write_json(workdir / "summary.json", summary | {"audit": audit})
    title = f"{config.algorithm_name} on {config.target_name}"
    page = summary_page(title, summary, report.to_markdown().strip())
    write_whole(workdir / "summary.md", page)
    if outputs.export:
        remove_damaged(workdir / "posterior")
        posterior.export(workdir / "posterior")
    plots = []
    if outputs.plots:
        metrics = read_metrics(workdir / "metrics.jsonl", most=MAX_DRAWN)
        pictures = _pictures(title, config.seed, posterior, report, metrics)
        plots = write_pictures(workdir / "plots", pictures)
    say(str(report))
    if outputs.export:
        say(f"model: {workdir / 'posterior'}")
    if plots:
        say(f"plots: {', '.join(map(str, plots))}")
    return plots


def _pictures(title: str, seed: int, posterior, report, metrics: list[dict]) -> dict:
    """Name -> function that draws, and returns the figure or axes of it."""
    import numpy as np

    from gmmvi_ext import plotting

    def pairs():
        return np.ravel(posterior.plot_pairs())[0].figure

    pictures = {
        "overview": lambda: plotting.plot_overview(
            posterior, metrics, title=f"{title}, seed {seed}"
        ),
        "elbo": lambda: plotting.plot_elbo(metrics, report=report),
        "weights": lambda: plotting.plot_weights(metrics),
        "khat": lambda: plotting.plot_khat(report),
        "pairs": pairs,
    }
    layout, target = posterior.layout, posterior.target
    if layout.num_dimensions == 2 == layout.num_constrained and target.is_graph_safe:
        pictures["plane"] = lambda: plotting.plot_density_2d(posterior, seed=seed)
    mixture = posterior.mixture
    samples = posterior.unconstrained.sample(2000, seed)
    own = target.figures(mixture, samples)
    return pictures | {name: (lambda figure=figure: figure) for name, figure in own.items()}
