"""Importance-weighted draws, and what is made of them."""
