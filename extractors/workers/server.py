"""The loop of a worker process: reads tasks from standard input and writes packets about them to standard output.

`extractors.workers.protocol` describes both.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from extractors import pipeline
from extractors.audio import noise
from extractors.language import word_features
from extractors.language.transcript import Transcript
from extractors.media import rewriting
from extractors.media.probe import Limits
from extractors.schema import Hook, ModalityFeatures, Word
from extractors.storage import feature_files
from extractors.storage.config import ExtractionConfig
from extractors.vision.overlay.drawing import Drawer
from extractors.vision.overlay.plan import Overlay
from extractors.vision.stills import Moment, stills
from extractors.workers.errors import CancelledError, WriteError, to_packet
from extractors.workers.protocol import FEATURES, LEFT_OUT, OVERLAID, READINGS, Packet, TaskKind, still_file

Item = TypeVar("Item")

log = logging.getLogger(__name__)


def serve(threads: str | None = None) -> None:
    """Do tasks until standard input ends, which it does with the parent.

    Args:
        threads: As in `extractors.workers.process.Process`.
    """
    if threads is not None:
        # Read by torch and CTranslate2, which load later. NumPy has loaded: its BLAS keeps its threads, and with them
        # the last bits of its sums, which recognised words depend on.
        os.environ.setdefault("OMP_NUM_THREADS", threads)
    # A crash of native code leaves a stack trace in the log. Of its own thread only: the others run on, and to look
    # into them meanwhile can fault, which would hide how the process really ended.
    faulthandler.enable(all_threads=False)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes to the log, not between the packets
    tasks: queue.SimpleQueue[Packet] = queue.SimpleQueue()
    cancelled = threading.Event()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, tasks, cancelled), daemon=True).start()

    def send(**packet: Any) -> None:
        answers.write(json.dumps(packet).encode() + b"\n")
        answers.flush()

    while True:
        task = tasks.get()
        answer = _do(task, send, cancelled)
        if not task.get("quietly"):
            send(**answer)
        # What a clip leaves in cycles, such as PyAV's graphs with their threads and memory: beside so many objects of
        # the libraries Python would look for it once in hundreds of clips. Without these it takes milliseconds.
        gc.collect()
        if not gc.get_freeze_count():
            gc.freeze()


def _receive(stream: IO[bytes], tasks: queue.SimpleQueue[Packet], cancelled: threading.Event) -> None:
    folder: str | None = None
    for line in stream:
        packet = json.loads(line)
        if packet["do"] == "cancel":
            cancelled.set()
        else:
            cancelled.clear()
            folder = packet.get("folder")
            tasks.put(packet)
    # The parent has ended, perhaps in the middle of a task, whose folder it could not remove then.
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _do(task: Packet, send: Callable[..., None], cancelled: threading.Event) -> Packet:
    """Do a task; return the last packet about it."""

    def report(step: str, completed: int, total: int) -> None:
        if cancelled.is_set():
            raise CancelledError("the extraction was cancelled")
        send(kind="progress", step=step, completed=completed, total=total)

    try:
        if task["do"] == "warm":
            pipeline.warm(encoder=task["encoder"])
        else:
            _limit_cpu(task["cpu_seconds"])
            send(kind="started")
            WORK[task["do"]](task, report)
    except Exception as error:  # one clip's surprise must not end the process; the parent raises it again
        return to_packet(error)
    return {"kind": "done"}


def _check(task: Packet, report: Hook) -> None:
    """Decode a clip to its end."""
    pipeline.check(task["path"], Limits(**task["limits"]), report)


def _extract(task: Packet, report: Hook) -> None:
    """Extract a clip."""
    given = task["transcript"]
    features = pipeline.extract(
        task["path"],
        Transcript.from_dict(given) if isinstance(given, dict) else given,
        report,
        Limits(**task["limits"]),
        recogniser=task["recogniser"],
        encoder=task["encoder"],
        feature_set=task["feature_set"],
        audio_track=task["audio_track"],
        caption_track=task["caption_track"],
    )
    with _writing():
        feature_files.save(features, Path(task["folder"], FEATURES))


def _noise(task: Packet, report: Hook) -> None:
    """Measure a clip's audio under white noise, once per seed."""
    seeds, limits = task["seeds"], Limits(**task["limits"])
    columns = ExtractionConfig(feature_set=task["feature_set"]).audio
    readings = noise.noisy_voices(task["path"], snr_db=task["snr_db"], seeds=seeds, limits=limits, columns=columns)
    _save_readings(task, _counted(readings, "noise", len(seeds), report))


def _reread(task: Packet, report: Hook) -> None:
    """Encode a transcript without some of its words, once per choice of words."""
    words = [Word.from_list(plain) for plain in task["words"]]
    kept = [np.array(mask, bool) for mask in task["kept"]]
    readings = word_features.reread(words, kept, encoder=task["encoder"])
    _save_readings(task, _counted(readings, "reread", len(kept), report))


def _overlay(task: Packet, report: Hook) -> None:
    """Write a clip again, with its overlay."""
    overlay = Overlay.from_dict(task["overlay"])
    drawer = Drawer(overlay)
    left_out = drawer.left_out
    with _writing():
        rewriting.rewrite(
            task["path"],
            Path(task["folder"], OVERLAID),
            drawer.draw,
            seconds=overlay.duration,
            comment=overlay.about_left_out.format(count=left_out) if left_out else overlay.about,
            audio_track=task["audio_track"],
            limits=Limits(**task["limits"]),
            report=lambda completed, total: report("overlay", completed, total),
        )
        Path(task["folder"], LEFT_OUT).write_text(json.dumps(left_out), encoding="ascii")


def _stills(task: Packet, report: Hook) -> None:
    """Make images of moments of a clip."""
    moments = [
        Moment(second=second, box=box and tuple(box), quarters=quarters) for second, box, quarters in task["moments"]
    ]
    images = stills(task["path"], moments, limits=Limits(**task["limits"]))
    for index, image in enumerate(_counted(images, "stills", len(moments), report)):
        with _writing():
            Path(task["folder"], still_file(index)).write_bytes(image)


WORK: dict[TaskKind, Callable[[Packet, Hook], None]] = {
    "check": _check,
    "extract": _extract,
    "noise": _noise,
    "overlay": _overlay,
    "reread": _reread,
    "stills": _stills,
}


def _save_readings(task: Packet, readings: Iterator[ModalityFeatures]) -> None:
    made = list(readings)
    with _writing():
        feature_files.save_steps(made, Path(task["folder"], READINGS))


def _counted(items: Iterator[Item], step: str, total: int, report: Hook) -> Iterator[Item]:
    """Yield items, with reports of how many there are so far."""
    report(step, 0, total)
    for done, item in enumerate(items, start=1):
        report(step, done, total)
        yield item


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"Features cannot be written: {error}") from error


def _limit_cpu(seconds: float) -> None:
    """Let the kernel end this process after so much more computing time."""
    try:
        import resource
    except ImportError:  # not POSIX
        log.warning("the limit on computing time is not held on this platform")
        return
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
