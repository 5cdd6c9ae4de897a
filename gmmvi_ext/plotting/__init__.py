"""Pictures of runs and posteriors: `ax` in, `ax` out, no global state, any backend."""

import importlib

__all__ = [
    "Curve",
    "plot_comparison",
    "plot_comparison_page",
    "plot_component_usage",
    "plot_components",
    "plot_elbo",
    "plot_image_grid",
    "plot_khat",
    "plot_latent_space",
    "plot_marginals",
    "plot_overview",
    "plot_pairs",
    "plot_reconstructions",
    "plot_weights",
]

# Loaded when asked for: pictures of metrics alone do without TensorFlow.
_MODULE = {
    "Curve": "comparison",
    "plot_comparison": "comparison",
    "plot_comparison_page": "comparison",
    "plot_component_usage": "latent",
    "plot_components": "components",
    "plot_elbo": "elbo",
    "plot_image_grid": "images",
    "plot_khat": "khat",
    "plot_latent_space": "latent",
    "plot_marginals": "marginals",
    "plot_overview": "overview",
    "plot_pairs": "pairs",
    "plot_reconstructions": "images",
    "plot_weights": "weights",
}


def __getattr__(name: str):
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
