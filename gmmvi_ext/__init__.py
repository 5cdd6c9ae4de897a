"""Gaussian-mixture variational inference with natural gradients, also over constrained parameters."""

__version__ = "0.1.0"
__all__ = ["__version__"]
