"""A process that extracts one clip after the other, and may crash or hang without harm to the others."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from typing import Any

from extractors.assets.hashes import file_sha256
from extractors.assets.registry import AssetError
from extractors.language.transcript import TranscriptError
from extractors.media.probe import Limits, MediaError
from extractors.pipeline import extract
from extractors.schema import MODALITY_NAMES, ClipFeatures
from extractors.storage.feature_files import save

START_SECONDS = 120.0  # for a new process to begin its first task
START_ATTEMPTS = 3
CRASH_SECONDS = 1.0  # between a connection that breaks and the exit code
END_SECONDS = 5.0  # for an idle process to end by itself
MAX_OUTCOME_BYTES = 1_000_000

Task = dict[str, Any]  # JSON types, as is an outcome: what a process says is never unpickled
Outcome = dict[str, Any]


class WorkerError(RuntimeError):
    """Processes cannot be started."""


class Worker:
    """A process that does tasks, started when first needed and again after every crash.

    Models are loaded in it once, by the first clip that needs them.

    Args:
        work: A module's function that does a task, called in the process.
        seconds: Wall-clock time a task may take.
        threads: For the numerical libraries in the process.
    """

    def __init__(self, work: Callable[[Task], Outcome], *, seconds: float, threads: int) -> None:
        self._work = work
        self._seconds = seconds
        self._threads = threads
        self._lock = threading.Lock()  # against `close` while a process is starting
        self._closed = self._busy = False
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def run(self, task: Task) -> Outcome:
        """Do a task.

        Returns:
            What `work` returned; if it crashed or took too long, a failed outcome (`failed`) with the reason.

        Raises:
            WorkerError: If no process can be started, or after `close`.
        """
        self._busy = True
        try:
            return self._run(task)
        finally:
            self._busy = False

    def close(self) -> None:
        """End the process, whatever it does; an idle one ends by itself and cleans up."""
        with self._lock:
            self._closed = True
            process = self._process
            if process is None:
                return
            if not self._busy:
                self._connection.close()
                process.join(END_SECONDS)
            process.kill()

    def _run(self, task: Task) -> Outcome:
        for _ in range(START_ATTEMPTS):
            if self._process is None:
                self._start()
            try:
                self._connection.send_bytes(json.dumps(task).encode())
                if self._connection.poll(START_SECONDS):
                    self._connection.recv_bytes(MAX_OUTCOME_BYTES)  # it has begun
                    break
            except (OSError, EOFError):  # it died before it began, which is not the task's fault
                pass
            how = self._stop()
        else:
            raise WorkerError(f"A worker process did not start, {START_ATTEMPTS} times ({how}).")
        try:
            if self._connection.poll(self._seconds):
                return json.loads(self._connection.recv_bytes(MAX_OUTCOME_BYTES))
            self._stop(grace=0.0)
            return failed("timeout", f"It took longer than {self._seconds:g} s and was stopped.")
        except (OSError, EOFError):
            return failed("crash", f"The extraction crashed ({self._stop()}).")

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        with self._lock:
            if self._closed:
                raise WorkerError("The worker is closed.")
            self._connection, theirs = spawn.Pipe()
            self._process = spawn.Process(target=_serve, args=(theirs, self._work, self._threads), daemon=True)
            ensure_running()  # here, because it would lift the mask
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._process.start()  # inherits the mask: Ctrl-C reaches the parent only, which ends this process
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()  # else its end would not be noticed

    def _stop(self, *, grace: float = CRASH_SECONDS) -> str:
        """End the process and say how it had ended."""
        process, self._process = self._process, None
        self._connection.close()
        process.join(grace)
        process.kill()
        process.join()
        code = process.exitcode
        if code is None:  # SIGCHLD is ignored in this process, so nobody was told
            return "how is unknown"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def failed(kind: str, reason: str, detail: str = "") -> Outcome:
    """Return the outcome of a clip that cannot be used.

    Args:
        kind: "media", "transcript", "error", "crash" or "timeout".
        reason: A sentence for the user.
        detail: For the log.
    """
    return {"status": "failed", "kind": kind, "reason": reason, "detail": detail}


def stamp(path: Path) -> list[int] | None:
    """Return a file's size in bytes and its date in ns; None where there is no regular file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns] if path.is_file() else None


def extract_item(task: Task) -> Outcome:
    """Extract a clip and write its features.

    Args:
        task: id, video, path, transcript, recipe, limits, encoder, output (the file to write).

    Returns:
        status "done" with the clip's seconds, "failed" with kind, reason and detail, or "fatal" with the reason where
        it is not the clip's fault.
    """
    path = Path(task["path"])
    try:
        before = stamp(path)
        features = extract(path, task["transcript"], limits=Limits(**task["limits"]), encoder=task["encoder"])
        digest = file_sha256(path)
        if stamp(path) != before:
            return failed("media", "The file changed while it was read.")
    except MediaError as error:
        return failed("media", str(error), error.detail)
    except TranscriptError as error:
        return failed("transcript", str(error))
    except AssetError as error:
        return {"status": "fatal", "reason": str(error)}
    except Exception as error:  # one clip's surprise must not end the others
        return failed("error", f"{type(error).__name__}: {error}", traceback.format_exc())
    origin = {
        "id": task["id"],
        "video": task["video"],
        "sha256": digest,
        "stamp": before,
        "recipe": task["recipe"],
        "row": _row(features),
    }
    try:
        save(features, Path(task["output"]), origin=origin)
    except OSError as error:
        return {"status": "fatal", "reason": f"Features cannot be written: {error}"}
    return {"status": "done", "seconds": features.duration}


def _row(features: ClipFeatures) -> dict[str, Any]:
    """Return what the manifest tells of a clip."""
    row = {"seconds": round(features.duration, 3), "transcript": features.transcript_source}
    for name in MODALITY_NAMES:
        part = features.modality(name)
        row |= {
            f"{name}_steps": len(part.valid),
            f"{name}_valid": int(part.valid.sum()),
            f"{name}_absent": part.absent and str(part.absent),
        }
    return row | {"notes": " ".join(map(str, features.notes))}


def _serve(connection: Connection, work: Callable[[Task], Outcome], threads: int) -> None:
    """Do tasks until the parent closes the connection or dies."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read by torch and CTranslate2 when they load
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        while True:
            task = json.loads(connection.recv_bytes())
            connection.send_bytes(b"begun")
            connection.send_bytes(json.dumps(work(task)).encode())
    except (EOFError, BrokenPipeError):
        return


def _end_with_parent() -> None:
    """End this process as soon as its parent has died, even in the middle of a clip."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
