"""Pictures of runs and posteriors: `ax` in, `ax` out, no setting of Matplotlib touched."""

from typing import TYPE_CHECKING

from gmmvi_ext.lazy import lazy_names

if TYPE_CHECKING:
    from gmmvi_ext.plotting.comparison import Curve as Curve
    from gmmvi_ext.plotting.comparison import plot_comparison as plot_comparison
    from gmmvi_ext.plotting.comparison import plot_comparison_page as plot_comparison_page
    from gmmvi_ext.plotting.components import plot_components as plot_components
    from gmmvi_ext.plotting.density import animate_density_2d as animate_density_2d
    from gmmvi_ext.plotting.density import plot_density_2d as plot_density_2d
    from gmmvi_ext.plotting.elbo import plot_elbo as plot_elbo
    from gmmvi_ext.plotting.forest import plot_forest as plot_forest
    from gmmvi_ext.plotting.images import plot_image_grid as plot_image_grid
    from gmmvi_ext.plotting.images import plot_reconstructions as plot_reconstructions
    from gmmvi_ext.plotting.khat import plot_khat as plot_khat
    from gmmvi_ext.plotting.latent import plot_component_usage as plot_component_usage
    from gmmvi_ext.plotting.latent import plot_latent_space as plot_latent_space
    from gmmvi_ext.plotting.marginals import plot_marginals as plot_marginals
    from gmmvi_ext.plotting.overview import plot_overview as plot_overview
    from gmmvi_ext.plotting.pairs import plot_pairs as plot_pairs
    from gmmvi_ext.plotting.prior_posterior import plot_prior_posterior as plot_prior_posterior
    from gmmvi_ext.plotting.training_curves import plot_training_curves as plot_training_curves
    from gmmvi_ext.plotting.vae import plot_conditional_samples as plot_conditional_samples
    from gmmvi_ext.plotting.vae import plot_interpolations as plot_interpolations
    from gmmvi_ext.plotting.vae import plot_prior_components as plot_prior_components
    from gmmvi_ext.plotting.vae import plot_prior_pairs as plot_prior_pairs
    from gmmvi_ext.plotting.vae import plot_prior_samples as plot_prior_samples
    from gmmvi_ext.plotting.weights import plot_weights as plot_weights

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
