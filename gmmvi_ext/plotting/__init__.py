"""Pictures of runs and posteriors: `ax` in, `ax` out, no global state, any backend."""

from gmmvi_ext.plotting.components import plot_components
from gmmvi_ext.plotting.elbo import plot_elbo
from gmmvi_ext.plotting.khat import plot_khat
from gmmvi_ext.plotting.marginals import plot_marginals
from gmmvi_ext.plotting.overview import plot_overview
from gmmvi_ext.plotting.pairs import plot_pairs
from gmmvi_ext.plotting.weights import plot_weights

__all__ = [
    "plot_components",
    "plot_elbo",
    "plot_khat",
    "plot_marginals",
    "plot_overview",
    "plot_pairs",
    "plot_weights",
]
