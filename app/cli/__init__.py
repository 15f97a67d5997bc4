"""The command `alignmamba`."""
