"""Fitting: the stages from a model to a posterior, in Python and in work directories."""

from gmmvi_ext.fitting.call import fit
from gmmvi_ext.fitting.context import FitError

__all__ = ["FitError", "fit"]
