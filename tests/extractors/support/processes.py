"""Waiting for processes in tests: for conditions, with limits that only a hang reaches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil

PATIENCE = 900.0  # seconds; a crowded machine needs many times what an idle one does


def wait_for(condition: Callable[[], Any], process) -> Any:
    """Wait until a condition holds, or the process has ended; return what it gave last."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()) and process.poll() is None:
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)
    return found


def wait_until_gone(processes: Iterable[psutil.Process]) -> None:
    """Wait for processes to end; those of another parent may stay as zombies."""
    end = time.monotonic() + PATIENCE
    while any(is_alive(process) for process in processes):
        assert time.monotonic() < end, "processes are still alive"
        time.sleep(0.005)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
