"""Pictures of runs and posteriors: `ax` in, `ax` out, no setting of Matplotlib touched."""

from gmmvi_ext.lazy import lazy_names

__all__ = [
    "Curve",
    "animate_density_2d",
    "plot_comparison",
    "plot_comparison_page",
    "plot_component_usage",
    "plot_components",
    "plot_conditional_samples",
    "plot_density_2d",
    "plot_elbo",
    "plot_forest",
    "plot_image_grid",
    "plot_interpolations",
    "plot_khat",
    "plot_latent_space",
    "plot_marginals",
    "plot_overview",
    "plot_pairs",
    "plot_prior_components",
    "plot_prior_pairs",
    "plot_prior_posterior",
    "plot_prior_samples",
    "plot_reconstructions",
    "plot_training_curves",
    "plot_weights",
]

# Loaded when asked for: pictures of metrics alone do without TensorFlow.
_MODULE = {
    "Curve": "comparison",
    "animate_density_2d": "density",
    "plot_comparison": "comparison",
    "plot_comparison_page": "comparison",
    "plot_component_usage": "latent",
    "plot_components": "components",
    "plot_conditional_samples": "vae",
    "plot_density_2d": "density",
    "plot_elbo": "elbo",
    "plot_forest": "forest",
    "plot_image_grid": "images",
    "plot_interpolations": "vae",
    "plot_khat": "khat",
    "plot_latent_space": "latent",
    "plot_marginals": "marginals",
    "plot_overview": "overview",
    "plot_pairs": "pairs",
    "plot_prior_components": "vae",
    "plot_prior_pairs": "vae",
    "plot_prior_posterior": "prior_posterior",
    "plot_prior_samples": "vae",
    "plot_reconstructions": "images",
    "plot_training_curves": "training_curves",
    "plot_weights": "weights",
}
__getattr__, __dir__ = lazy_names(
    __name__, {name: f"{__name__}.{module}" for name, module in _MODULE.items()}
)
