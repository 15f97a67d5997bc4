"""Measured curves: each module writes one JSON per machine into benchmarks/results."""
