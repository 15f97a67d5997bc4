"""Datasets: one reader per file format, and the splits, masks and batches made of them."""
