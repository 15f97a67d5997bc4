"""Data, training and evaluation; nothing here is needed to run the app."""
