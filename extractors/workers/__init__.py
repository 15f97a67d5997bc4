"""Extraction in worker processes: client, pool, process, server."""
