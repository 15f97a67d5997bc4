"""Kernels: the selective scan in five backends, each held to `reference`, and what surrounds it on the CPU."""
