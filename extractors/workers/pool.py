"""Processes for extraction that wait for the next clip, with their models loaded."""

from __future__ import annotations

import logging
import threading

from extractors.workers.process import POLL_SECONDS, Process

log = logging.getLogger(__name__)


class CancelledError(Exception):
    """The caller has cancelled the extraction."""


class WorkerError(RuntimeError):
    """An extraction met an error that nobody foresaw, or no process can be started; the message is for the log."""


class Pool:
    """Processes that wait for the next clip; dead ones are replaced.

    Args:
        size: How many at most.
    """

    def __init__(self, size: int) -> None:
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    def take(self, cancel: threading.Event) -> Process:
        """Return a process, the one used last if several wait; start one if none does.

        Raises:
            CancelledError: If `cancel` is set before one is free.
        """
        while not self._free.acquire(timeout=POLL_SECONDS):
            if cancel.is_set():
                raise CancelledError("the extraction was cancelled")
        try:
            with self._lock:
                while self._idle:
                    if (worker := self._idle.pop()).alive:
                        return worker
                    self._forget(worker)
                return self._start()
        except BaseException:
            self._free.release()
            raise

    def give_back(self, worker: Process) -> None:
        """Keep a process for the next clip, or start another in its place, which loads its models meanwhile."""
        try:
            with self._lock:
                if not worker.alive:
                    self._forget(worker)
                    warmed, worker = worker.warmed, self._start()
                    if warmed is not None:
                        worker.warm(warmed)
                self._idle.append(worker)
        except WorkerError as error:
            log.warning("a process for extraction is not replaced before the next clip: %s", error)
        finally:
            self._free.release()

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            for worker in self._all:
                worker.kill()
            self._all.clear()
            self._idle.clear()

    def processes(self) -> list[int]:
        """Return the ids of the living processes."""
        with self._lock:
            return [worker.pid for worker in self._all if worker.alive]

    def _start(self) -> Process:
        try:
            worker = Process()
        except OSError as error:
            raise WorkerError(f"No process can be started: {error}") from error
        self._all.add(worker)
        return worker

    def _forget(self, worker: Process) -> None:
        worker.kill()
        self._all.discard(worker)
