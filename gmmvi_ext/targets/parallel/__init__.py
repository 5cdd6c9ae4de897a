"""Who evaluates a target: this process, devices, other processes, a cluster."""
