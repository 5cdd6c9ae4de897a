"""What a run leaves behind at its end: summary, SavedModel, plots; and what it prints."""

import math
import sys
from pathlib import Path

from gmmvi_ext.cli.workdir import WorkDir
from gmmvi_ext.config.config import Config
from gmmvi_ext.training.loop import TrainingResult
from gmmvi_ext.training.stopping import StopReason
from gmmvi_ext.training.writers import read_metrics, write_atomically, write_json

__all__ = ["posterior_of", "write_outputs"]

# Keys of `summary.json` that come from the report; the others come from the run.
_REPORT_KEYS = (
    "elbo", "elbo_se", "neg_elbo", "log_evidence", "log_evidence_se", "khat", "ess", "num_modes",
    "num_components", "verdict", "trust",
)  # fmt: skip
_PLOTTED_DIMENSIONS = 4


def write_outputs(
    config: Config, workdir: WorkDir, target, algorithm, result: TrainingResult
) -> list[Path]:
    """Writes summary, export and plots of the trained mixture and prints the summary.

    Returns:
      the plots.
    """
    outputs = config.outputs
    posterior = posterior_of(config, target, algorithm, result)
    report = posterior.report(num_samples=outputs.num_report_samples, seed=config.seed)
    summary = {key: getattr(report, key) for key in _REPORT_KEYS} | {
        "num_target_evaluations": result.num_target_evaluations,
        "num_nonfinite": result.num_nonfinite,
        "iterations": result.iterations,
        "train_seconds": round(result.clock.train, 3),
        "trace_seconds": round(result.clock.trace, 3),
        "stop_reason": str(result.stop_reason),
    }
    write_json(workdir / "summary.json", summary)
    write_atomically(workdir / "summary.md", _page(config, summary, report))
    if outputs.export:
        posterior.export(workdir / "posterior")
    plots = _plots(config, workdir, target, posterior, report) if outputs.plots else []
    print(report)
    if outputs.export:
        print(f"model: {workdir / 'posterior'}")
    if plots:
        print(f"plots: {', '.join(map(str, plots))}")
    return plots


def posterior_of(config: Config, target, algorithm, result: TrainingResult):
    """The `Posterior` of a trained algorithm, with names, bijector and what the run knows."""
    from gmmvi_ext.posterior import Posterior
    from gmmvi_ext.posterior.build_space import naming_of

    run_info = {
        "stop_reason": str(result.stop_reason),
        "temperature": algorithm.temperature,
        "iterations": result.iterations,
        "num_target_evaluations": result.num_target_evaluations,
        "train_seconds": round(result.clock.train, 3),
        "seed": config.seed,
    }
    if config.training.stop_when_converged:
        run_info["converged"] = result.stop_reason is StopReason.CONVERGED
    names, bijector = naming_of(target)
    return Posterior(
        algorithm.model.mixture(),
        bijector=algorithm.model.bijector if bijector is None else bijector,
        parameter_names=names,
        target=target,
        run_info=run_info,
    )


def _page(config: Config, summary: dict, report) -> str:
    word = config.code_word or "own rules"
    lines = [f"# {word} on {config.target_name}", "", "| | |", "|---|---|"]
    for key, value in summary.items():
        if isinstance(value, float):
            value = f"{value:.6g}" if math.isfinite(value) else "-"
        lines.append(f"| {key} | {value} |")
    return "\n".join([*lines, "", report.to_markdown().strip(), ""])


def _plots(config: Config, workdir: WorkDir, target, posterior, report) -> list[Path]:
    """Draws what there is to draw; a picture that fails is named and left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    folder = workdir / "plots"
    folder.mkdir(exist_ok=True)
    metrics = read_metrics(workdir / "metrics.jsonl")
    written = []
    for name, draw in _pictures(config, target, posterior, report, metrics).items():
        path = folder / f"{name}.png"
        try:
            figure = draw()
            FigureCanvasAgg(figure)
            figure.savefig(path, dpi=120)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - a picture must not cost the run
            print(f"note: {path} was not drawn: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        written.append(path)
    return written


def _pictures(config: Config, target, posterior, report, metrics: list[dict]) -> dict:
    """Name -> function that draws the figure."""
    import numpy as np
    from matplotlib.figure import Figure

    from gmmvi_ext import plotting

    def on_one_axis(draw):
        def figure():
            canvas = Figure(figsize=(7.0, 4.2), layout="constrained")
            draw(canvas.subplots())
            return canvas

        return figure

    def pairs():
        return np.ravel(posterior.plot_pairs())[0].figure

    title = f"{config.code_word or 'own rules'} on {config.target_name}, seed {config.seed}"
    pictures = {
        "overview": lambda: plotting.plot_overview(posterior, metrics, title=title),
        "elbo": on_one_axis(lambda ax: plotting.plot_elbo(metrics, ax, report=report)),
        "weights": on_one_axis(lambda ax: plotting.plot_weights(metrics, ax)),
        "khat": on_one_axis(lambda ax: plotting.plot_khat(report, ax)),
        "pairs": pairs,
    }
    mixture = posterior.mixture
    samples = posterior.unconstrained.sample(2000, config.seed)
    own = target.figures(mixture, samples)
    return pictures | {name: (lambda figure=figure: figure) for name, figure in own.items()}
