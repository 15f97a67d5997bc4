"""A worker process as its parent sees it; `extractors.workers.server` runs in it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from extractors.messages import Message
from extractors.schema import Hook
from extractors.workers.errors import AbortedError, AbortKind, CancelledError, StartError, WorkerError, from_packet
from extractors.workers.protocol import Packet

READY_SECONDS = 900.0  # until a process begins a task: it may still be loading models
STOP_SECONDS = 3.0  # until a cancelled task must have ended by itself
POLL_SECONDS = 0.05  # between looks at the clock, the memory and the caller's wish
# Of glibc's heap. Each clip has threads of its own; with a heap for each (8 per core by default) freed memory is split
# ever finer, and a worker grows with every clip.
ARENAS = 1
LINE_BYTES = 8_192  # of the process's log at once
FLUSH_SECONDS = 1.0  # in which the last lines of a process's log must have been read
# What MediaPipe's native code says of any clip; it offers no setting for it.
USUAL_LOG = re.compile(
    r"^WARNING: Logging before InitGoogle"
    r"|^W0000 .*(face_landmarker_graph|inference_feedback_manager|inference_runner_litert)\.cc"
    r"|^INFO: (Created TensorFlow Lite XNNPACK delegate|\[\w+\.cc:\d+\])"
)

QUIET: Packet = {"kind": "quiet"}  # stands for none

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Upper bounds on what an extraction may cost.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: Time of all processors together; held by the kernel, on POSIX.
        memory_bytes: Memory of the process that is no page of a file, models (about 0.7 GB) included; held on Linux.
            Libraries are pages of files: those of CUDA, over 2 GB large, are not the clip's.
    """

    seconds: float = 300.0
    cpu_seconds: float = 600.0
    memory_bytes: int = 2_500_000_000

    @classmethod
    def of(cls, seconds: float) -> Budget:
        """Return the budget of a clip of at most this many seconds: its own length, and never less than the default.

        >>> Budget.of(900.0).seconds, Budget.of(10.0) == Budget()
        (900.0, True)
        """
        usual = cls()
        return cls(seconds=max(seconds, usual.seconds), cpu_seconds=max(2 * seconds, usual.cpu_seconds))


class Process:
    """A worker process, which does one task after the other; a thread here puts its packets into a queue.

    Args:
        threads: Of torch and of CTranslate2 in the process, unless OMP_NUM_THREADS is set; None for their own choice.

    Attributes:
        warmed: The text encoder loaded, with all other models, before the first clip; None if there was no warm-up.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        options = [] if threads is None else [str(threads)]
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "extractors.workers", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"MALLOC_ARENA_MAX": str(ARENAS), **os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C reaches the parent only; the process ends with it
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None and self._process.stderr is not None
        self._tasks = self._process.stdin
        self.warmed: str | None = None
        self._packets: queue.SimpleQueue[Packet | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(self._process.stdout,), name="worker", daemon=True).start()
        self._log = threading.Thread(target=_forward, args=(self._process.stderr,), name="worker log", daemon=True)
        self._log.start()

    @property
    def alive(self) -> bool:
        """Whether the process can take another task."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def run(self, task: Packet, *, hook: Hook, budget: Budget, cancel: threading.Event) -> None:
        """Do a task to its end.

        The clock of the budget starts when the task does: before, the process may still be loading models.

        Raises:
            AbortedError: If the task crashes the process or goes beyond the budget.
            CancelledError: If `cancel` was set.
            StartError: If the process ends before it begins the task.
            WorkerError: If it does not begin in time.
            Exception: What the task raised (`from_packet`), or what the hook raised.
        """
        self._send(task)
        running: set[str] = set()
        began, limit, since = False, READY_SECONDS, time.monotonic()
        while True:
            packet = self._receive()
            if packet is None:
                if cancel.is_set():
                    raise CancelledError("the extraction was cancelled")
                raise self._ended(_during(running), began=began)
            if packet["kind"] == "started":
                began, limit, since = True, budget.seconds, time.monotonic()
            elif packet["kind"] == "progress":
                self._report(packet, running, hook)
            elif packet["kind"] == "done":
                self.warmed = task["encoder"] if task["do"] == "warm" else self.warmed
                return
            elif packet is not QUIET:
                raise from_packet(packet)
            if cancel.is_set():
                self._stop()
                raise CancelledError("the extraction was cancelled")
            self._check(running, budget, began=began, late=time.monotonic() - since > limit)

    def warm(self, encoder: str) -> None:
        """Make the process load all models, without waiting for it; the next task will."""
        self.warmed = encoder
        self._send({"do": "warm", "encoder": encoder, "quietly": True})

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._log.join(FLUSH_SECONDS)
        with contextlib.suppress(BrokenPipeError):  # where a task was still in its buffer
            self._tasks.close()

    def _receive(self) -> Packet | None:
        """Return the next packet, `QUIET` if none comes for a moment, None if none will."""
        try:
            return self._packets.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return QUIET

    def _report(self, packet: Packet, running: set[str], hook: Hook) -> None:
        step, completed, total = (packet[key] for key in ("step", "completed", "total"))
        (running.discard if completed == total else running.add)(step)
        try:
            hook(step, completed, total)
        except BaseException:
            self._stop()
            raise

    def _check(self, running: Iterable[str], budget: Budget, *, began: bool, late: bool) -> None:
        """Kill the process if it is late or swells, and raise what that means."""
        if late:
            self.kill()
            if not began:
                raise WorkerError(f"A worker process did not begin its task within {READY_SECONDS:g} s.")
            message = Message("clip_took_too_long", {"limit": f"{budget.seconds:g}"})
            raise _aborted("timeout", message, _during(running))
        if (memory := _own_bytes(self.pid)) > budget.memory_bytes:
            self.kill()
            raise _aborted(
                "memory",
                Message("clip_needs_memory"),
                f"{memory:,} of {budget.memory_bytes:,} bytes {_during(running)}",
            )

    def _stop(self) -> None:
        """Let the running task end at its next report, or end it with its process."""
        self._send({"do": "cancel"})
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            packet = self._receive()
            if packet is None or packet["kind"] not in ("started", "progress", "quiet"):
                return
        self.kill()

    def _send(self, packet: Packet) -> None:
        try:
            self._tasks.write(json.dumps(packet).encode() + b"\n")
            self._tasks.flush()
        except (OSError, ValueError) as error:  # ValueError: closed by `kill`
            log.info("worker %d has ended: %s", self.pid, error)  # `run` learns it from the queue

    def _listen(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                if line.endswith(b"\n"):  # else the process has died in the middle of it
                    self._packets.put(json.loads(line))
        self._packets.put(None)

    def _ended(self, during: str, *, began: bool) -> Exception:
        """Return the error for a process that has ended in the middle of a task."""
        code = self._process.wait()
        self._log.join(FLUSH_SECONDS)  # the stack trace stands before what is said of it
        if -code == getattr(signal, "SIGXCPU", None):
            return _aborted("cpu", Message("clip_needs_cpu"), during)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if not began:  # no clip is to blame
            return StartError(f"A process for extraction has ended before it began: {how}.")
        return _aborted(
            "crash",
            Message("clip_crashed"),
            f"{how} {during}",
        )


def _forward(stream: IO[bytes]) -> None:
    """Write a process's log to standard error, without MediaPipe's usual lines."""
    with stream:
        for line in iter(lambda: stream.readline(LINE_BYTES), b""):
            if not USUAL_LOG.search(line.decode(errors="replace")):
                # As the process itself would: standard error as Python knows it may be replaced. Where it is closed,
                # the process is still read, or it would wait for ever with a full pipe.
                with contextlib.suppress(OSError):
                    os.write(2, line)


def _during(running: Iterable[str]) -> str:
    return f"during {', '.join(sorted(running)) or 'start'}"


def _aborted(kind: AbortKind, message: Message, detail: str) -> AbortedError:
    log.warning("%s (%s)", message, detail)
    return AbortedError(kind, message, detail)


def _own_bytes(pid: int) -> int:
    """Return a process's resident memory but for pages of files; 0 where the system does not report it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # it has ended, or this is not Linux
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
