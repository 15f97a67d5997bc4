"""Altair charts and the tables they draw."""
