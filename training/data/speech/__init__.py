"""Acted emotional speech: recordings, their speaker split, and augmented copies."""
