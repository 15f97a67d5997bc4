"""Installers' failures (of pip, of uv) as sentences; the standard library suffices."""

from __future__ import annotations

# What installers print, in small letters, and what it means.
NO_ROOM = ("no space left on device", "errno 28", "disk quota exceeded", "not enough space on the disk")
NO_NETWORK = (
    "name or service not known",
    "temporary failure in name resolution",
    "failed to establish a new connection",
    "getaddrinfo failed",
    "nodename nor servname",
    "network is unreachable",
    "connection refused",
    "dns error",
    "error sending request",
)
NOT_FOUND = ("no matching distribution found", "no solution found")
SLOW_NETWORK = ("timed out", "timeout", "connection broken", "incompleteread", "connection reset")
WRONG_BYTES = ("do not match the hashes", "hash mismatch", "hashes are required")


def explain(output: str) -> str | None:
    """Return in a sentence why an installer failed; None where its output tells nothing known."""
    said = output.lower()
    if any(sign in said for sign in NO_ROOM):
        return "The disk is full: make room and run the same command again, it goes on from here."
    if any(sign in said for sign in WRONG_BYTES):
        return "A package has other bytes than the lock file says: do not install it; ask where the index got it from."
    if any(sign in said for sign in NO_NETWORK):
        return (
            "The package index cannot be reached: check the network and the proxy (HTTPS_PROXY, PIP_INDEX_URL) and run "
            "the same command again."
        )
    if any(sign in said for sign in SLOW_NETWORK):
        return "The network is slow or broke off: run the same command again, what has come is kept."
    if any(sign in said for sign in NOT_FOUND):
        return (
            "The package index cannot be reached or lacks a package: check the network, the proxy (HTTPS_PROXY) and "
            "PIP_INDEX_URL, and run the same command again."
        )
    return None
