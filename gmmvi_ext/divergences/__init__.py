"""Divergences: KL by closed form, quadrature and Monte Carlo; ELBO, evidence, Gaussian fits."""

from gmmvi_ext.divergences.fits import GaussianFit, fit_forward_kl, fit_reverse_kl
from gmmvi_ext.divergences.kl import density_derivative, kl
from gmmvi_ext.divergences.mmd import Mmd, mmd_squared
from gmmvi_ext.divergences.monte_carlo import (
    elbo_mc,
    kl_mc,
    log_evidence_bridge,
    log_evidence_iwae,
)
from gmmvi_ext.divergences.quadrature import (
    Quadrature,
    elbo_quadrature,
    integrate,
    kl_quadrature,
    log_evidence_quadrature,
)
from gmmvi_ext.divergences.support import log_density

__all__ = [
    "GaussianFit",
    "Mmd",
    "Quadrature",
    "density_derivative",
    "elbo_mc",
    "elbo_quadrature",
    "fit_forward_kl",
    "fit_reverse_kl",
    "integrate",
    "kl",
    "kl_mc",
    "kl_quadrature",
    "log_density",
    "log_evidence_bridge",
    "log_evidence_iwae",
    "log_evidence_quadrature",
    "mmd_squared",
]
