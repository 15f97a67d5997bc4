"""Baselines on the same input as AlignMamba, and the registry that names them all."""
