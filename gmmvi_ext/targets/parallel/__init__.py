"""Parallel evaluation of a target: by this process, devices, other processes, a cluster."""
