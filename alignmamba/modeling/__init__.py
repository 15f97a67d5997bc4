"""The model as pure modules: local alignment, global alignment, Mamba fusion."""
