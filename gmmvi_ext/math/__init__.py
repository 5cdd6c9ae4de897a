"""Tensors in, tensors out: linear algebra, log-space sums, bracketing. No state, no randomness."""
