"""What a run of a VAE leaves behind at its end: summary, SavedModel, plots; and what it prints."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from gmmvi_ext.amortized.evaluation import BoundEvaluator
from gmmvi_ext.config.config import Config
from gmmvi_ext.export.folder import remove_damaged
from gmmvi_ext.runs.pictures import write_pictures
from gmmvi_ext.runs.record import result_summary, summary_page
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.loop import TrainingResult
from gmmvi_ext.training.writers import MAX_DRAWN, read_metrics, write_json
from gmmvi_ext.whole_files import write_whole

__all__ = ["export_model", "write_vae_outputs"]

NUM_SHOWN = 12  # images of a picture of reconstructions
NUM_CODES = 2000
ACTIVE_UNIT_VARIANCE = 0.01  # of the posterior mean over the data (Burda et al. 2016)


def write_vae_outputs(
    config: Config, workdir: WorkDir, images, trainer, result: TrainingResult
) -> None:
    """Writes summary, export and plots of the trained model and prints the summary."""
    vae = trainer.vae
    samples = config.outputs.num_report_samples
    found = BoundEvaluator(vae, images.test, num_samples=samples, seed=config.seed)()
    codes = vae.encode(images.test[:NUM_CODES])
    active = int(np.sum(np.var(codes.numpy(), axis=0) > ACTIVE_UNIT_VARIANCE))
    summary = {
        "elbo": found.elbo,
        "elbo_se": found.elbo_se,
        "neg_elbo": -found.elbo,
        "distortion": found.distortion,
        "rate": found.rate,
        "log_prob_estimate": found.log_prob_estimate,
        "num_report_samples": samples,
        "num_test": len(images.test),
        "num_active_units": active,
    } | result_summary(result)
    write_json(workdir / "summary.json", summary)
    page = summary_page(f"{config.code_word} on {config.target_name}", summary)
    write_whole(workdir / "summary.md", page)
    if config.outputs.export:
        remove_damaged(workdir / "model")
        export_model(config, vae, workdir / "model", {"summary": summary})
    plots = []
    if config.outputs.plots:
        plots = write_pictures(workdir / "plots", _pictures(config, workdir, images, vae))
    count = len(images.test)
    print(f"test ELBO                 {found.elbo:10.3f} +- {found.elbo_se:.3f} ({count} images)")
    print(f"distortion, rate          {found.distortion:10.3f}, {found.rate:.3f}")
    print(f"IWAE bound, {samples:5d} draws   {found.log_prob_estimate:10.3f}")
    print(f"active latent units       {active:10d} of {vae.latent_dim}")
    if config.outputs.export:
        print(f"model: {workdir / 'model'}")
    if plots:
        print(f"plots: {', '.join(map(str, plots))}")


def export_model(config: Config, vae, folder: Path, about: dict) -> None:
    """Writes the SavedModel.

    Raises:
      FileExistsError: the folder holds something that is not an export.
    """
    from gmmvi_ext.export.vae import export_vae

    known = {"data": config.target_name, "model": config.code_word}
    export_vae(vae, folder, about={**about, **known})


def _pictures(config: Config, workdir: WorkDir, images, vae) -> dict:
    """Name -> function that draws on axes of its own and returns them."""
    from gmmvi_ext import plotting

    seed = config.seed
    x = tf.constant(images.test[:NUM_CODES], vae.dtype)
    labels = images.test_labels[:NUM_CODES]
    codes = vae.encode(x)
    shown = x[:NUM_SHOWN]
    metrics = read_metrics(workdir / "metrics.jsonl", most=MAX_DRAWN)
    pictures = {
        "elbo": lambda: plotting.plot_elbo(metrics),
        "training_curves": lambda: plotting.plot_training_curves(metrics)[0, 0],
        "prior_samples": lambda: plotting.plot_prior_samples(vae, seed=seed),
        "reconstructions": lambda: plotting.plot_conditional_samples(vae, shown, seed=seed),
        "latent_space": lambda: plotting.plot_latent_space(_flat(codes), labels),
    }
    if not vae.prior.is_discrete:
        half = len(shown) // 2
        pairs = shown[:half], shown[half : 2 * half]
        pictures["interpolations"] = lambda: plotting.plot_interpolations(vae, *pairs)
        pictures["prior_pairs"] = lambda: plotting.plot_prior_pairs(vae, x, labels, seed=seed)[0, 0]
    if hasattr(vae.prior.distribution(), "components_distribution"):
        pictures["prior_components"] = lambda: plotting.plot_prior_components(vae)
    usage = _usage(vae, x, codes)
    if usage is not None:
        pictures["usage"] = lambda: plotting.plot_component_usage(usage, labels)
    return pictures


def _flat(codes) -> np.ndarray:
    """Codes as vectors, [N, L]."""
    return np.reshape(codes, [len(codes), -1])


def _usage(vae, x, codes):
    """Probability of each component for each datum [N, C], for a mixture prior or posterior."""
    prior = vae.prior.distribution()
    if hasattr(prior, "posterior_marginal"):
        return prior.posterior_marginal(codes).probs_parameter()
    posterior = vae.posterior(x)
    if hasattr(posterior, "mixture_distribution"):
        return posterior.mixture_distribution.probs_parameter()
    return None
