"""A pool of worker processes, which keep their models loaded between clips."""

from __future__ import annotations

import logging
import threading

from extractors.schema import Hook
from extractors.workers.errors import CancelledError, StartError, WorkerError
from extractors.workers.process import POLL_SECONDS, Budget, Process
from extractors.workers.protocol import Packet

START_ATTEMPTS = 3  # for a task, in processes that end before they begin it

log = logging.getLogger(__name__)


class Pool:
    """Worker processes that wait for tasks, started when first needed; dead ones are replaced.

    The functions of `extractors.workers.client` take one::

        pool = Pool(4, threads=1)
        features = client.extract("clip.mp4", pool=pool)
        pool.close()

    Args:
        size: How many processes at most; a task beyond that waits.
        threads: As in `Process`.
    """

    def __init__(self, size: int, *, threads: int | None = None) -> None:
        if size < 1:
            raise ValueError(f"size: {size}, expected at least 1 process")
        self.size = size
        self._threads = threads
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._closed = False
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._encoder: str | None = None

    def run(self, task: Packet, *, hook: Hook, budget: Budget, cancel: threading.Event) -> None:
        """Do a task to its end in the next free process.

        Raises:
            CancelledError: If `cancel` is set, also while no process is free.
            WorkerError: If no process can be started, or the pool is closed.
            Exception: As `Process.run`.
        """
        for attempt in range(1, START_ATTEMPTS + 1):
            worker = self.take(cancel)
            try:
                return worker.run(task, hook=hook, budget=budget, cancel=cancel)
            except StartError as error:
                if attempt == START_ATTEMPTS:
                    raise
                log.info("the task is given to another process: %s", error)
            finally:
                self.give_back(worker)

    def take(self, cancel: threading.Event) -> Process:
        """Return a process, the one used last if several wait; start one if none does.

        Raises:
            CancelledError: If `cancel` is set before one is free.
            WorkerError: If none can be started, or the pool is closed.
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
        """Keep a process for the next task, or start another in its place, which loads its models meanwhile."""
        try:
            with self._lock:
                if self._closed:
                    return
                if not worker.alive:
                    self._forget(worker)
                    warmed, worker = worker.warmed or self._encoder, self._start()
                    if warmed is not None:
                        worker.warm(warmed)
                self._idle.append(worker)
        except WorkerError as error:
            log.warning("a worker process is not replaced before the next task: %s", error)
        finally:
            self._free.release()

    def keep_warm(self, encoder: str) -> None:
        """Let every process that takes the place of a dead one load all models at once, before its first task."""
        self._encoder = encoder

    def close(self) -> None:
        """End all processes, whatever they do; the pool starts no others."""
        with self._lock:
            self._closed = True
            for worker in self._all:
                worker.kill()
            self._all.clear()
            self._idle.clear()

    def processes(self) -> list[int]:
        """Return the ids of the living processes."""
        with self._lock:
            return [worker.pid for worker in self._all if worker.alive]

    def _start(self) -> Process:
        if self._closed:
            raise WorkerError("The pool of worker processes is closed.")
        try:
            worker = Process(threads=self._threads)
        except OSError as error:
            raise WorkerError(f"No process can be started: {error}") from error
        self._all.add(worker)
        return worker

    def _forget(self, worker: Process) -> None:
        worker.kill()
        self._all.discard(worker)
