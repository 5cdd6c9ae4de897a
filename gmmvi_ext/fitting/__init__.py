"""Fitting: the stages from a model to a posterior, in Python and in work directories."""

from gmmvi_ext.fitting.call import fit
from gmmvi_ext.fitting.context import FitError
from gmmvi_ext.fitting.fits import Fit, Fits
from gmmvi_ext.fitting.many import fit_many

__all__ = ["Fit", "FitError", "Fits", "fit", "fit_many"]
