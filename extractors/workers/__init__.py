"""Extraction in worker processes: client, pool, process, server, and the protocol and errors they share."""
