"""Model files: a registry of what they are, and their download by hash."""
