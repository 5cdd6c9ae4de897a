"""Divergences: KL by closed form, quadrature and Monte Carlo; ELBO, evidence, Gaussian fits."""

from gmmvi_ext.divergences.fits import GaussianFit, fit_forward_kl, fit_reverse_kl
from gmmvi_ext.divergences.kl import density_derivative, kl
from gmmvi_ext.divergences.monte_carlo import (
    elbo_mc,
    kl_mc,
    log_evidence_bridge,
    log_evidence_iwae,
)
from gmmvi_ext.divergences.quadrature import (
    Quadrature,
    elbo_quadrature,
    kl_quadrature,
    log_evidence_quadrature,
)

__all__ = [
    "GaussianFit",
    "Quadrature",
    "density_derivative",
    "elbo_mc",
    "elbo_quadrature",
    "fit_forward_kl",
    "fit_reverse_kl",
    "kl",
    "kl_mc",
    "kl_quadrature",
    "log_evidence_bridge",
    "log_evidence_iwae",
    "log_evidence_quadrature",
]
