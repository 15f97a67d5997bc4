"""Cues of caption files, in every format that is read."""
