"""What a run of a VAE leaves behind at its end: summary, SavedModel, plots; and what it prints."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from gmmvi_ext.amortized.evaluation import BoundEvaluator
from gmmvi_ext.config.config import Config
from gmmvi_ext.export.folder import remove_damaged
from gmmvi_ext.math.random import stream
from gmmvi_ext.runs.pictures import write_pictures
from gmmvi_ext.runs.record import result_summary, summary_page
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.loop import TrainingResult
from gmmvi_ext.training.writers import MAX_DRAWN, read_metrics, write_json
from gmmvi_ext.whole_files import write_whole

__all__ = ["export_model", "write_vae_outputs"]

NUM_DRAWN = 64
NUM_RECONSTRUCTED = 24
NUM_CODES = 2000
ACTIVE_UNIT_VARIANCE = 0.01  # of the posterior mean over the data (Burda et al. 2016)


def write_vae_outputs(
    config: Config, workdir: WorkDir, images, trainer, result: TrainingResult
) -> None:
    """Writes summary, export and plots of the trained model and prints the summary."""
    from gmmvi_ext.export.vae import ExportedVae

    vae = trainer.vae
    samples = config.outputs.num_report_samples
    found = BoundEvaluator(vae, images.test, num_samples=samples, seed=config.seed)()
    codes = ExportedVae(vae).encode(tf.constant(images.test[:NUM_CODES], vae.dtype))["mean"]
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
    print(f"active latent units       {active:10d} of {vae.num_latents}")
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
    from gmmvi_ext.export.vae import ExportedVae

    seed = stream(config.seed, "vae pictures")
    x = tf.constant(images.test[:NUM_CODES], vae.dtype)
    labels = images.test_labels[:NUM_CODES]
    model = ExportedVae(vae)
    codes = model.encode(x)["mean"]
    scale = getattr(vae.observation.density.rule, "num_classes", 2) - 1  # levels to [0, 1]

    def prior_samples():
        z = vae.prior.distribution().sample(NUM_DRAWN, seed=seed)
        return plotting.plot_image_grid(
            model.decode(z)["mean"] / scale, title="Means of p(x | z), z drawn from the prior"
        )

    def reconstructions():
        shown = x[:NUM_RECONSTRUCTED]
        mean = model.decode(codes[:NUM_RECONSTRUCTED])["mean"]
        return plotting.plot_reconstructions(shown / scale, mean / scale)

    metrics = read_metrics(workdir / "metrics.jsonl", most=MAX_DRAWN)
    pictures = {
        "elbo": lambda: plotting.plot_elbo(metrics),
        "prior_samples": prior_samples,
        "reconstructions": reconstructions,
        "latent_space": lambda: plotting.plot_latent_space(codes, labels),
    }
    usage = _usage(vae, x, codes)
    if usage is not None:
        pictures["usage"] = lambda: plotting.plot_component_usage(usage, labels)
    return pictures


def _usage(vae, x, codes):
    """Probability of each component for each datum [N, C], for a mixture prior or posterior."""
    prior = vae.prior.distribution()
    if hasattr(prior, "posterior_marginal"):
        return prior.posterior_marginal(codes).probs_parameter()
    posterior = vae.posterior(x)
    if hasattr(posterior, "mixture_distribution"):
        return posterior.mixture_distribution.probs_parameter()
    return None
