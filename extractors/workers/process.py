"""A process that extracts one clip after the other, as its parent sees it; `extractors.workers.server` runs in it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extractors import messages
from extractors.schema import Hook

READY_SECONDS = 900.0  # until a process has done what was asked of it before, which may be fetching models
STOP_SECONDS = 3.0  # until a cancelled task must have ended by itself
POLL_SECONDS = 0.05  # between looks at clock, memory and the caller's wish
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

Message = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What an extraction may cost.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: Time of all processors together; held by the kernel, on POSIX.
        memory_bytes: Resident memory of the process, models (about 1 GB) included; held on Linux.
    """

    seconds: float = 300.0
    cpu_seconds: float = 600.0
    memory_bytes: int = 3_000_000_000


class Process:
    """A process that does one task after the other; a thread here carries its messages into a queue.

    Attributes:
        warmed: The text encoder it was asked to load, with all other models, before the first clip; None if it was not.
    """

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "extractors.workers.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C reaches this process only, whose end is theirs
        )
        self.warmed: str | None = None
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="isolate", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process can take another task."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def run(self, task: Message, hook: Hook, budget: Budget, cancel: threading.Event) -> Message:
        """Do a task; return the process's last message about it, or one that says how the process ended.

        The clock starts when the process does: before, it may still be loading models.
        """
        self._send(task)
        running: set[str] = set()
        began, limit, started = False, READY_SECONDS, time.monotonic()
        while True:
            try:
                message = self._messages.get(timeout=POLL_SECONDS)
            except queue.Empty:
                message = {"kind": "quiet"}
            if message is None:
                return self._ended(_during(running), began=began)
            if message["kind"] == "started":
                began, limit, started = True, budget.seconds, time.monotonic()
            elif message["kind"] == "progress":
                step, completed, total = (message[key] for key in ("step", "completed", "total"))
                (running.discard if completed == total else running.add)(step)
                try:
                    hook(step, completed, total)
                except BaseException:
                    self._stop()
                    raise
            elif message["kind"] != "quiet":
                return message
            if cancel.is_set():
                self._stop()
                return {"kind": "cancelled"}
            if time.monotonic() - started > limit:
                self.kill()
                return _media(messages.Message("clip_took_too_long", {"limit": f"{limit:g}"}), _during(running))
            if (memory := _resident_bytes(self.pid)) > budget.memory_bytes:
                self.kill()
                return _media(
                    messages.Message("clip_needs_memory"),
                    f"{memory:,} of {budget.memory_bytes:,} bytes {_during(running)}",
                )

    def warm(self, encoder: str) -> None:
        """Ask it to load all models, and do not wait for it; the next task will."""
        self.warmed = encoder
        self._send({"do": "warm", "encoder": encoder, "quietly": True})

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # where a task was still in its buffer
            self._process.stdin.close()

    def _stop(self) -> None:
        """Let the running task end at its next report, or end it with its process."""
        self._send({"do": "cancel"})
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            try:
                message = self._messages.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if message is None or message["kind"] not in ("started", "progress"):
                return
        self.kill()

    def _send(self, message: Message) -> None:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            log.info("worker %d has ended: %s", self.pid, error)  # `run` is told by the queue

    def _listen(self) -> None:
        with self._process.stdout as stream:
            for line in stream:
                if line.endswith(b"\n"):  # else the process has died in the middle of it
                    self._messages.put(json.loads(line))
        self._messages.put(None)

    def _ended(self, during: str, *, began: bool) -> Message:
        code = self._process.wait()
        if -code == getattr(signal, "SIGXCPU", None):
            return _media(messages.Message("clip_needs_cpu"), during)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if not began:  # no clip is to blame
            return {"kind": "unforeseen", "detail": f"A process for extraction has ended before it began: {how}."}
        return _media(messages.Message("clip_crashed"), f"{how} {during}")


def _during(running: Iterable[str]) -> str:
    return f"during {', '.join(sorted(running)) or 'start'}"


def _media(message: messages.Message, detail: str) -> Message:
    log.warning("%s (%s)", message, detail)
    return {"kind": "media", "message": message.to_dict(), "detail": detail}


def _resident_bytes(pid: int) -> int:
    """Return a process's resident memory; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):  # it has ended, or this is no Linux
        return 0
