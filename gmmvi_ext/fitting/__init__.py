"""Fitting in one call: from a model to a posterior, with settings found automatically."""

from gmmvi_ext.fitting.call import fit

__all__ = ["fit"]
