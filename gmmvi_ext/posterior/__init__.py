"""The fitted posterior: draws, densities, summaries, checks, files."""

from gmmvi_ext.posterior.posterior import Posterior
from gmmvi_ext.posterior.report import Report
from gmmvi_ext.posterior.unconstrained import UnconstrainedMixture
from gmmvi_ext.posterior.weighted import Expectation

__all__ = ["Expectation", "Posterior", "Report", "UnconstrainedMixture", "load"]

load = Posterior.load
