"""Installers' failures (of pip, of uv) as sentences; the standard library suffices."""

from __future__ import annotations

# What installers print, in small letters, and what it means; the first that fits.
REASONS = (
    (
        ("no space left on device", "errno 28", "disk quota exceeded", "not enough space on the disk"),
        "The disk is full: make room and run the same command again, it goes on from here.",
    ),
    (
        ("do not match the hashes", "hash mismatch", "hashes are required"),
        "A package has other bytes than the lock file says: do not install it; ask where the index got it from.",
    ),
    (
        (
            "name or service not known",
            "temporary failure in name resolution",
            "failed to establish a new connection",
            "getaddrinfo failed",
            "nodename nor servname",
            "network is unreachable",
            "connection refused",
            "dns error",
            "error sending request",
        ),
        "The package index cannot be reached: check the network and the proxy (HTTPS_PROXY, PIP_INDEX_URL) and run the "
        "same command again.",
    ),
    (
        ("timed out", "timeout", "connection broken", "incompleteread", "connection reset"),
        "The network is slow or broke off: run the same command again, what has come is kept.",
    ),
    (
        ("no matching distribution found", "no solution found"),
        "The package index cannot be reached or lacks a package: check the network, the proxy (HTTPS_PROXY) and "
        "PIP_INDEX_URL, and run the same command again.",
    ),
)


def explain(output: str) -> str | None:
    """Return in a sentence why an installer failed; None where its output says nothing known."""
    printed = output.lower()
    return next((sentence for signs, sentence in REASONS if any(sign in printed for sign in signs)), None)
