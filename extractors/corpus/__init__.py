"""Features of many clips, resumable, on one machine or a cluster."""
