"""The fitted posterior: draws, densities, summaries, checks, files."""

from gmmvi_ext.posterior.importance.expectations import Expectation
from gmmvi_ext.posterior.posterior import Posterior
from gmmvi_ext.posterior.report.report import Report
from gmmvi_ext.posterior.unconstrained import UnconstrainedMixture

__all__ = ["Expectation", "Posterior", "Report", "UnconstrainedMixture", "load"]

load = Posterior.load
