"""The worker process: reads tasks from standard input and writes messages to standard output.

A task and a message are one line of JSON each. Messages about a task are "started", "progress" and, last, one of
"done", "cancelled", "media", "transcript", "asset", "unforeseen".
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from extractors import pipeline
from extractors.assets.registry import AssetError, asset
from extractors.audio import noise
from extractors.language import word_features
from extractors.language.asr import RECOGNISER
from extractors.language.text_encoder import ENCODER
from extractors.language.transcript import Transcript, TranscriptError
from extractors.media.probe import Limits, MediaError
from extractors.schema import Hook, ModalityFeatures, Word
from extractors.storage import feature_files
from extractors.vision.stills import Moment, stills

Message = dict[str, Any]

log = logging.getLogger(__name__)


class _CancelledError(Exception):
    """The parent has cancelled the task."""


def serve() -> None:
    """Do tasks until standard input ends with the parent."""
    # A crash of native code leaves its place in the log. Of its own thread only: the others run on, and to look into
    # them meanwhile can fault, which would hide how the process really ended.
    faulthandler.enable(all_threads=False)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes to the log, not between the messages
    tasks: queue.SimpleQueue[Message] = queue.SimpleQueue()
    cancelled = threading.Event()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, tasks, cancelled), daemon=True).start()

    def tell(**message: Any) -> None:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    while True:
        task = tasks.get()
        answer = _do(task, tell, cancelled)
        if not task.get("quietly"):
            tell(**answer)


def _receive(stream: IO[bytes], tasks: queue.SimpleQueue[Message], cancelled: threading.Event) -> None:
    for line in stream:
        message = json.loads(line)
        if message["do"] == "cancel":
            cancelled.set()
        else:
            cancelled.clear()
            tasks.put(message)
    os._exit(0)  # the parent has ended, or wants this: also in the middle of a clip


def _do(task: Message, tell: Callable[..., None], cancelled: threading.Event) -> Message:
    def report(step: str, completed: int, total: int) -> None:
        if cancelled.is_set():
            raise _CancelledError
        tell(kind="progress", step=step, completed=completed, total=total)

    try:
        if task["do"] == "warm":
            pipeline.warm(encoder=task["encoder"])
            return {"kind": "done"}
        _fetch_models(task)
        _limit_cpu(task["cpu_seconds"])
        tell(kind="started")
        WORK.get(task["do"], _read_again)(task, report)
    except _CancelledError:
        return {"kind": "cancelled"}
    except MediaError as error:
        return {"kind": "media", "message": error.message.to_dict(), "detail": error.detail}
    except TranscriptError as error:
        return {"kind": "transcript", "message": error.message.to_dict()}
    except AssetError as error:
        return {"kind": "asset", "message": error.message.to_dict()}
    except Exception:  # one clip's surprise must not end the process; the parent raises it again
        return {"kind": "unforeseen", "detail": traceback.format_exc()}
    return {"kind": "done"}


def _extract(task: Message, report: Hook) -> None:
    """Extract a clip."""
    given = task["transcript"]
    features = pipeline.extract(
        task["path"],
        Transcript.from_dict(given) if isinstance(given, dict) else given,
        report,
        Limits(**task["limits"]),
        recogniser=task["recogniser"],
        encoder=task["encoder"],
    )
    feature_files.save(features, Path(task["output"]))


def _stills(task: Message, report: Hook) -> None:
    """Make pictures of moments of a clip."""
    moments = [Moment(second=second, box=box and tuple(box)) for second, box in task["moments"]]
    report("stills", 0, len(moments))
    for index, still in enumerate(stills(task["path"], moments, limits=Limits(**task["limits"]))):
        Path(task["output"], f"{index}.jpg").write_bytes(still)
        report("stills", index + 1, len(moments))


def _read_again(task: Message, report: Hook) -> None:
    """Make features of one modality, several times over, each worse in its own way."""
    if task["do"] == "noise":
        total, limits = len(task["seeds"]), Limits(**task["limits"])
        found = noise.noisy_voices(task["path"], snr_db=task["snr_db"], seeds=task["seeds"], limits=limits)
    else:
        words = [Word(text=text, start=start, end=end) for text, start, end in task["words"]]
        total, masks = len(task["kept"]), [np.array(mask, bool) for mask in task["kept"]]
        found = word_features.reread(words, masks, encoder=task["encoder"])
    feature_files.save_steps(list(_told(found, task["do"], total, report)), Path(task["output"]))


WORK = {"extract": _extract, "stills": _stills}


def _told(readings: Iterator[ModalityFeatures], step: str, total: int, report: Hook) -> Iterator[ModalityFeatures]:
    report(step, 0, total)
    for done, reading in enumerate(readings, start=1):
        report(step, done, total)
        yield reading


def _fetch_models(task: Message) -> None:
    """Have the models ready before the clock starts: at the very first clip they may have to be downloaded."""
    if task.get("encoder") == ENCODER:
        asset(ENCODER)
    if task["do"] in ("extract", "stills"):
        asset("face_landmarker")
    if task["do"] != "extract":
        return
    if not task["transcript"] and task["recogniser"] == RECOGNISER:
        asset(RECOGNISER)


def _limit_cpu(seconds: float) -> None:
    """Let the kernel end this process after so much more computing time."""
    try:
        import resource
    except ImportError:  # no POSIX
        log.warning("the limit on computing time is not held on this platform")
        return
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    serve()
