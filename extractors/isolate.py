"""Extraction in processes of its own: what crashes, hangs or swells there ends that clip and nothing else.

The processes stay, with their models loaded, for the next clip. They are plain interpreters, started by command line:
`multiprocessing` would run the parent's main module again, which inside Streamlit is the page. Jobs and reports are
lines of JSON through pipes; features come back as a safetensors file in a private folder. Nothing is unpickled.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from extractors import store
from extractors.assets import AssetError
from extractors.media import LIMITS, Limits, MediaError
from extractors.schema import ClipFeatures, Hook
from extractors.text import ENCODER
from extractors.transcript import RECOGNISER, Transcript, TranscriptError

PROCESSES = 2  # clips at once; one more waits
READY_SECONDS = 900.0  # until a process has done what was asked of it before, which may be fetching models
STOP_SECONDS = 3.0  # until a cancelled task must have ended by itself
POLL_SECONDS = 0.05  # between looks at clock, memory and the caller's wish
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

Message = dict[str, Any]

log = logging.getLogger(__name__)


class CancelledError(Exception):
    """The caller has cancelled the extraction."""


class WorkerError(RuntimeError):
    """An extraction met an error that nobody foresaw, or no process can be started; the message is for the log."""


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


BUDGET = Budget()


def extract(
    path: Path | str,
    transcript: str | Transcript | None = None,
    hook: Hook | None = None,
    limits: Limits = LIMITS,
    *,
    recogniser: str = RECOGNISER,
    encoder: str = ENCODER,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
) -> ClipFeatures:
    """Do what `extractors.clip.extract` does, in a process of its own.

    Args:
        path: A video or sound file.
        transcript: As there.
        hook: As there; called in the caller's thread. What it raises cancels the extraction.
        limits: What the clip may be.
        recogniser: As there.
        encoder: As there.
        budget: What the extraction may cost.
        cancel: Stops the extraction once it is set, even while there is no progress to tell of.

    Returns:
        The features, to the last bit what the plain function returns.

    Raises:
        MediaError: If the file cannot be used as a clip, crashes the process or goes beyond the budget.
        TranscriptError: If the transcript cannot be used.
        AssetError: If a model file cannot be had.
        CancelledError: If `cancel` was set.
        WorkerError: If an error was met that nobody foresaw.
    """
    cancel = cancel or threading.Event()
    with tempfile.TemporaryDirectory(prefix="alignmamba-") as folder:
        output = Path(folder) / f"features{store.SUFFIX}"
        task = {
            "do": "extract",
            "path": os.path.abspath(path),
            "transcript": _plain(transcript),
            "limits": asdict(limits),
            "recogniser": recogniser,
            "encoder": encoder,
            "cpu_seconds": budget.cpu_seconds,
            "output": str(output),
        }
        worker = _pool.take(cancel)
        try:
            answer = worker.run(task, hook or (lambda step, completed, total: None), budget, cancel)
        finally:
            _pool.give_back(worker)
        if answer["kind"] == "done":
            return store.load(output)
    raise _error(answer)


def warm() -> None:
    """Start a process and load all models in it, so that the first clip is as quick as the next.

    Raises:
        AssetError: If a model file cannot be had.
        WorkerError: If the process crashes, or an error was met that nobody foresaw.
    """
    never = threading.Event()
    worker = _pool.take(never)
    try:
        answer = worker.run({"do": "warm"}, lambda step, completed, total: None, Budget(seconds=READY_SECONDS), never)
        worker.warmed = answer["kind"] == "done"
    finally:
        _pool.give_back(worker)
    if answer["kind"] != "done":
        raise _error(answer)


def _plain(transcript: str | Transcript | None) -> str | Message | None:
    if not isinstance(transcript, Transcript):
        return transcript
    words = [[word.text, word.start, word.end] for word in transcript.words]
    return {"words": words, "source": transcript.source, "notes": list(transcript.notes)}


def _error(answer: Message) -> Exception:
    kinds: dict[str, Callable[[], Exception]] = {
        "media": lambda: MediaError(answer["sentence"], answer["detail"]),
        "transcript": lambda: TranscriptError(answer["sentence"]),
        "asset": lambda: AssetError(answer["sentence"]),
        "cancelled": lambda: CancelledError("the extraction was cancelled"),
    }
    return kinds.get(answer["kind"], lambda: WorkerError(answer["detail"]))()


class _Worker:
    """A process that does one task after the other; a thread here carries its messages into a queue.

    Attributes:
        warmed: Whether it was asked to load all models before the first clip.
    """

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[1])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "extractors.isolate_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C reaches this process only, whose end is theirs
        )
        self.warmed = False
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
                return _media(f"This clip took longer than {limit:g} s and was stopped.", _during(running))
            if (memory := _resident_bytes(self.pid)) > budget.memory_bytes:
                self.kill()
                return _media(
                    "This clip needs more memory than a clip may use and was stopped. Use a shorter or smaller one.",
                    f"{memory:,} of {budget.memory_bytes:,} bytes {_during(running)}",
                )

    def warm(self) -> None:
        """Ask it to load all models, and do not wait for it; the next task will."""
        self.warmed = True
        self._send({"do": "warm", "quietly": True})

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
            return _media("This clip needs more computing time than a clip may use and was stopped.", during)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if not began:  # no clip is to blame
            return {"kind": "unforeseen", "detail": f"A process for extraction has ended before it began: {how}."}
        return _media(
            "This clip made the extraction crash. It may be damaged; convert it to MP4 and try again.",
            f"{how} {during}",
        )


class _Pool:
    """Processes that wait for the next clip; dead ones are replaced."""

    def __init__(self) -> None:
        self._free = threading.Semaphore(PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def take(self, cancel: threading.Event) -> _Worker:
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

    def give_back(self, worker: _Worker) -> None:
        """Keep a process for the next clip, or start another in its place, which loads its models meanwhile."""
        try:
            with self._lock:
                if not worker.alive:
                    self._forget(worker)
                    warmed, worker = worker.warmed, self._start()
                    if warmed:
                        worker.warm()
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

    def _start(self) -> _Worker:
        try:
            worker = _Worker()
        except OSError as error:
            raise WorkerError(f"No process can be started: {error}") from error
        self._all.add(worker)
        return worker

    def _forget(self, worker: _Worker) -> None:
        worker.kill()
        self._all.discard(worker)


_pool = _Pool()
atexit.register(_pool.close)


def _during(running: Iterable[str]) -> str:
    return f"during {', '.join(sorted(running)) or 'start'}"


def _media(sentence: str, detail: str) -> Message:
    log.warning("%s (%s)", sentence, detail)
    return {"kind": "media", "sentence": sentence, "detail": detail}


def _resident_bytes(pid: int) -> int:
    """Return a process's resident memory; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):  # it has ended, or this is no Linux
        return 0
