"""Extraction in processes of its own: what crashes, hangs or swells there ends that clip and nothing else.

The processes stay, with their models loaded, for the next clip. They are plain interpreters, started by command line:
`multiprocessing` would run the parent's main module again, which inside Streamlit is the page. Jobs and reports are
lines of JSON through pipes; features come back as a safetensors file in a private folder. Nothing is unpickled.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from extractors import messages
from extractors.assets.registry import AssetError
from extractors.config import ExtractionConfig
from extractors.language.asr import RECOGNISER
from extractors.language.text_encoder import ENCODER
from extractors.language.transcript import Transcript, TranscriptError
from extractors.media.probe import LIMITS, Limits, MediaError
from extractors.schema import ClipFeatures, Hook, ModalityFeatures, Word
from extractors.storage import feature_files
from extractors.storage.cache import Cache
from extractors.vision.stills import Moment
from extractors.workers.pool import CancelledError, Pool, WorkerError
from extractors.workers.process import READY_SECONDS, Budget, Message

PROCESSES = 2  # clips at once; one more waits
BUDGET = Budget()

_pool = Pool(PROCESSES)
atexit.register(_pool.close)


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
    cache: Cache | None = None,
) -> ClipFeatures:
    """Do what `extractors.pipeline.extract` does, in a process of its own.

    Args:
        path: A video or sound file.
        transcript: As there.
        hook: As there; called in the caller's thread. What it raises cancels the extraction.
        limits: What the clip may be.
        recogniser: As there.
        encoder: As there.
        budget: What the extraction may cost.
        cancel: Stops the extraction once it is set, even while there is no progress to tell of.
        cache: As there; looked at in the caller's own process, so that what is there waits for no other.

    Returns:
        The features, to the last bit what the plain function returns.

    Raises:
        MediaError: If the file cannot be used as a clip, crashes the process or goes beyond the budget.
        TranscriptError: If the transcript cannot be used.
        AssetError: If a model file cannot be had.
        CancelledError: If `cancel` was set.
        WorkerError: If an error was met that nobody foresaw.
    """
    config = ExtractionConfig(transcript=transcript, limits=limits, recogniser=recogniser, encoder=encoder)
    hook, cancel = hook or (lambda step, completed, total: None), cancel or threading.Event()

    def make() -> ClipFeatures:
        return _extract(Path(path), config, hook, budget, cancel)

    return make() if cache is None else cache.fetch(Path(path), config, make)


def _extract(path: Path, config: ExtractionConfig, hook: Hook, budget: Budget, cancel: threading.Event) -> ClipFeatures:
    with tempfile.TemporaryDirectory(prefix="alignmamba-") as folder:
        given, output = config.given, Path(folder) / f"features{feature_files.SUFFIX}"
        task = {
            "do": "extract",
            "path": os.path.abspath(path),
            "transcript": given.to_dict() if isinstance(given, Transcript) else given,
            "limits": asdict(config.limits),
            "recogniser": config.recogniser,
            "encoder": config.encoder,
            "cpu_seconds": budget.cpu_seconds,
            "output": str(output),
        }
        _run(task, hook, budget, cancel)
        return feature_files.load(output)


def noisy_voices(
    path: Path | str,
    *,
    snr_db: float,
    seeds: Sequence[int],
    hook: Hook | None = None,
    limits: Limits = LIMITS,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
) -> list[ModalityFeatures]:
    """Do what `extractors.audio.noise.noisy_voices` does, in a process of its own.

    Args:
        path: A clip.
        snr_db: As there.
        seeds: As there.
        hook: Told of ("noise", voices done, voices), in the caller's thread. What it raises cancels the work.
        limits: As there.
        budget: What the work may cost.
        cancel: Stops the work once it is set.

    Raises:
        MediaError: As in `extract`.
        CancelledError: If `cancel` was set.
        WorkerError: If an error was met that nobody foresaw.
    """
    task = {
        "do": "noise",
        "path": os.path.abspath(path),
        "limits": asdict(limits),
        "snr_db": snr_db,
        "seeds": list(seeds),
    }
    return _readings(task, hook, budget, cancel)


def reread(
    words: Sequence[Word],
    kept: Sequence[Bool[np.ndarray, " words"]],
    *,
    encoder: str = ENCODER,
    hook: Hook | None = None,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
) -> list[ModalityFeatures]:
    """Do what `extractors.language.word_features.reread` does, in a process of its own.

    Args:
        words: As there.
        kept: As there.
        encoder: As there.
        hook: Told of ("reread", readings done, readings), in the caller's thread. What it raises cancels the work.
        budget: What the work may cost.
        cancel: Stops the work once it is set.

    Raises:
        AssetError: If a model file cannot be had.
        CancelledError: If `cancel` was set.
        WorkerError: If an error was met that nobody foresaw.
    """
    task = {
        "do": "reread",
        "words": [[word.text, word.start, word.end] for word in words],
        "kept": [mask.tolist() for mask in kept],
        "encoder": encoder,
    }
    return _readings(task, hook, budget, cancel)


def stills(
    path: Path | str,
    moments: Sequence[Moment],
    *,
    hook: Hook | None = None,
    limits: Limits = LIMITS,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
) -> list[bytes]:
    """Do what `extractors.vision.stills.stills` does, in a process of its own.

    Args:
        path: A clip.
        moments: As there.
        hook: Told of ("stills", pictures done, pictures), in the caller's thread. What it raises cancels the work.
        limits: As there.
        budget: What the work may cost.
        cancel: Stops the work once it is set.

    Raises:
        MediaError: As in `extract`.
        AssetError: If a model file cannot be had.
        CancelledError: If `cancel` was set.
        WorkerError: If an error was met that nobody foresaw.
    """
    hook, cancel = hook or (lambda step, completed, total: None), cancel or threading.Event()
    with tempfile.TemporaryDirectory(prefix="alignmamba-") as folder:
        task = {
            "do": "stills",
            "path": os.path.abspath(path),
            "moments": [[moment.second, moment.box] for moment in moments],
            "limits": asdict(limits),
            "cpu_seconds": budget.cpu_seconds,
            "output": folder,
        }
        _run(task, hook, budget, cancel)
        made = [Path(folder, f"{index}.jpg") for index in range(len(moments))]
        return [file.read_bytes() for file in made if file.is_file()]


def _readings(
    task: Message, hook: Hook | None, budget: Budget, cancel: threading.Event | None
) -> list[ModalityFeatures]:
    """Let a process make features of one modality, several times over."""
    hook, cancel = hook or (lambda step, completed, total: None), cancel or threading.Event()
    with tempfile.TemporaryDirectory(prefix="alignmamba-") as folder:
        output = Path(folder) / f"readings{feature_files.SUFFIX}"
        _run({**task, "cpu_seconds": budget.cpu_seconds, "output": str(output)}, hook, budget, cancel)
        return feature_files.load_steps(output)


def _run(task: Message, hook: Hook, budget: Budget, cancel: threading.Event) -> None:
    """Let a process do a task to its end.

    Raises:
        Exception: What `extract` names, where it did not come to that.
    """
    worker = _pool.take(cancel)
    try:
        answer = worker.run(task, hook, budget, cancel)
    finally:
        _pool.give_back(worker)
    if answer["kind"] != "done":
        raise _error(answer)


def warm(*, encoder: str = ENCODER) -> None:
    """Start a process and load all models in it, so that the first clip is as quick as the next.

    Args:
        encoder: As in `extract`.

    Raises:
        AssetError: If a model file cannot be had.
        WorkerError: If the process crashes, or an error was met that nobody foresaw.
    """
    never = threading.Event()
    worker = _pool.take(never)
    task = {"do": "warm", "encoder": encoder}
    try:
        answer = worker.run(task, lambda step, completed, total: None, Budget(seconds=READY_SECONDS), never)
        worker.warmed = encoder if answer["kind"] == "done" else None
    finally:
        _pool.give_back(worker)
    if answer["kind"] != "done":
        raise _error(answer)


def processes() -> list[int]:
    """Return the ids of the processes that work or wait."""
    return _pool.processes()


def _error(answer: Message) -> Exception:
    kinds: dict[str, Callable[[], Exception]] = {
        "media": lambda: MediaError(messages.Message.from_dict(answer["message"]), answer["detail"]),
        "transcript": lambda: TranscriptError(messages.Message.from_dict(answer["message"])),
        "asset": lambda: AssetError(messages.Message.from_dict(answer["message"])),
        "cancelled": lambda: CancelledError("the extraction was cancelled"),
    }
    return kinds.get(answer["kind"], lambda: WorkerError(answer["detail"]))()
