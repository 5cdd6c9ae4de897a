"""Diagnostics of a fitted mixture: sample sizes, Pareto k-hat, modes, coverage."""

from gmmvi_ext.diagnostics.coverage import entropic_mode_coverage, eubo, mass_coverage
from gmmvi_ext.diagnostics.importance import (
    effective_sample_size,
    elbo,
    log_evidence,
    weighted_mean,
)
from gmmvi_ext.diagnostics.modes import Modes, find_modes
from gmmvi_ext.diagnostics.psis import (
    ParetoSmoothed,
    fit_generalized_pareto,
    khat_threshold,
    pareto_smooth,
)

__all__ = [
    "Modes",
    "ParetoSmoothed",
    "effective_sample_size",
    "elbo",
    "entropic_mode_coverage",
    "eubo",
    "find_modes",
    "fit_generalized_pareto",
    "khat_threshold",
    "log_evidence",
    "mass_coverage",
    "pareto_smooth",
    "weighted_mean",
]
