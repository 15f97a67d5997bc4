"""Settings files of experiments, and their reader."""
