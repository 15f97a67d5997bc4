"""The synthetic clips that ship with the app."""
