"""Extraction in worker processes: a clip that crashes, hangs or needs too much memory there fails alone.

The processes stay, with their models loaded, for the next clip. They are plain interpreters, started by command line:
`multiprocessing` would run the parent's main module again, which inside Streamlit is the page. Tasks and messages are
lines of JSON through pipes; features come back as a safetensors file in a private folder. Nothing is unpickled.

Every function takes the same last arguments:

* `hook`: receives (step, completed, total) in the caller's thread. What it raises cancels the work.
* `budget`: what the work may cost.
* `cancel`: stops the work once it is set, even while there is no progress to report.
* `pool`: whose processes do the work.

and may raise, besides the errors of the plain function:

* `AbortedError`, a `MediaError`: the clip crashed the process or went beyond the budget.
* `CancelledError`: `cancel` was set.
* `StorageError`, a `WorkerError`: the disk is full, or may not be written.
* `WorkerError`: no process could be started, or an error was met that nobody foresaw (`UnforeseenError`).
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from extractors.assets.registry import AssetError, asset
from extractors.language.asr import RECOGNISER
from extractors.language.text_encoder import ENCODER
from extractors.language.transcript import Transcript, TranscriptError
from extractors.media.probe import LIMITS, Limits, MediaError
from extractors.media.rewriting import MAX_BYTES
from extractors.messages import Message
from extractors.schema import ClipFeatures, FeatureSet, Hook, ModalityFeatures, Word
from extractors.storage import feature_files
from extractors.storage.cache import Cache
from extractors.storage.config import ExtractionConfig
from extractors.storage.scratch import private_folder
from extractors.vision.overlay.plan import Overlay
from extractors.vision.stills import Moment
from extractors.workers.errors import AbortedError, CancelledError, StorageError, UnforeseenError, WorkerError
from extractors.workers.pool import Pool
from extractors.workers.process import READY_SECONDS, Budget
from extractors.workers.protocol import FEATURES, LEFT_OUT, OVERLAID, READINGS, Packet, TaskKind, still_file

__all__ = [
    "BUDGET",
    "SHARED",
    "AbortedError",
    "AssetError",
    "Budget",
    "CancelledError",
    "MediaError",
    "Overlaid",
    "Pool",
    "StorageError",
    "TranscriptError",
    "UnforeseenError",
    "WorkerError",
    "check",
    "extract",
    "noisy_voices",
    "overlaid",
    "processes",
    "reread",
    "stills",
    "warm",
]

BUDGET = Budget()
SHARED = Pool(2)
"""The pool of everything in this program that does not make its own."""

atexit.register(SHARED.close)


def extract(
    path: Path | str,
    transcript: str | Transcript | None = None,
    hook: Hook | None = None,
    limits: Limits = LIMITS,
    *,
    recogniser: str = RECOGNISER,
    encoder: str = ENCODER,
    feature_set: FeatureSet = "steps",
    audio_track: int | None = None,
    caption_track: int | None = None,
    cache: Cache | None = None,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
    pool: Pool = SHARED,
) -> ClipFeatures:
    """Do what `extractors.pipeline.extract` does, in a worker process.

    Args:
        path: A video or sound file.
        transcript: As there.
        hook: As there.
        limits: As there.
        recogniser: As there.
        encoder: As there.
        feature_set: As there.
        audio_track: As there.
        caption_track: As there.
        cache: As there; read in the caller's own process, so that a hit waits for no worker.
        budget: As above.
        cancel: As above.
        pool: As above.

    Returns:
        The features, to the last bit what the plain function returns.
    """
    config = ExtractionConfig(
        transcript=transcript,
        limits=limits,
        recogniser=recogniser,
        encoder=encoder,
        feature_set=feature_set,
        audio_track=audio_track,
        caption_track=caption_track,
    )
    given = config.given
    task = {
        "path": os.path.abspath(path),
        "transcript": given.to_dict() if isinstance(given, Transcript) else given,
        "limits": asdict(limits),
        "recogniser": recogniser,
        "encoder": encoder,
        "feature_set": feature_set,
        "audio_track": audio_track,
        "caption_track": caption_track,
    }

    def make() -> ClipFeatures:
        with _results("extract", task, hook, budget, cancel, pool) as folder:
            return feature_files.load(folder / FEATURES)

    return make() if cache is None else cache.fetch(Path(path), config, make)


def check(
    path: Path | str,
    *,
    limits: Limits = LIMITS,
    hook: Hook | None = None,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
    pool: Pool = SHARED,
) -> None:
    """Do what `extractors.pipeline.check` does, in a worker process; `hook` gets the step "check"."""
    task = {"path": os.path.abspath(path), "limits": asdict(limits)}
    with _results("check", task, hook, budget, cancel, pool):
        pass


def noisy_voices(
    path: Path | str,
    *,
    snr_db: float,
    seeds: Sequence[int],
    limits: Limits = LIMITS,
    feature_set: FeatureSet = "steps",
    hook: Hook | None = None,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
    pool: Pool = SHARED,
) -> list[ModalityFeatures]:
    """Do what `extractors.audio.noise.noisy_voices` does, in a worker process; `hook` gets the step "noise".

    The columns are those of a feature set.
    """
    task = {
        "path": os.path.abspath(path),
        "limits": asdict(limits),
        "snr_db": snr_db,
        "seeds": list(seeds),
        "feature_set": feature_set,
    }
    with _results("noise", task, hook, budget, cancel, pool) as folder:
        return feature_files.load_steps(folder / READINGS)


def reread(
    words: Sequence[Word],
    kept: Sequence[Bool[np.ndarray, " words"]],
    *,
    encoder: str = ENCODER,
    hook: Hook | None = None,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
    pool: Pool = SHARED,
) -> list[ModalityFeatures]:
    """Do what `extractors.language.word_features.reread` does, in a worker process; `hook` gets the step "reread"."""
    task = {
        "words": [word.to_list() for word in words],
        "kept": [mask.tolist() for mask in kept],
        "encoder": encoder,
    }
    with _results("reread", task, hook, budget, cancel, pool) as folder:
        return feature_files.load_steps(folder / READINGS)


def stills(
    path: Path | str,
    moments: Sequence[Moment],
    *,
    limits: Limits = LIMITS,
    hook: Hook | None = None,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
    pool: Pool = SHARED,
) -> list[bytes]:
    """Do what `extractors.vision.stills.stills` does, in a worker process; `hook` gets the step "stills"."""
    task = {
        "path": os.path.abspath(path),
        "moments": [[moment.second, moment.box, moment.quarters] for moment in moments],
        "limits": asdict(limits),
    }
    with _results("stills", task, hook, budget, cancel, pool) as folder:
        made = [folder / still_file(index) for index in range(len(moments))]
        return [file.read_bytes() for file in made if file.is_file()]


@dataclass(frozen=True, kw_only=True)
class Overlaid:
    """A clip with its overlay.

    Attributes:
        data: An MP4.
        left_out: Captions in letters that no font here has, which are not in it.
    """

    data: bytes
    left_out: int


def overlaid(
    path: Path | str,
    overlay: Overlay,
    *,
    audio_track: int | None = None,
    limits: Limits = LIMITS,
    hook: Hook | None = None,
    budget: Budget = BUDGET,
    cancel: threading.Event | None = None,
    pool: Pool = SHARED,
) -> Overlaid:
    """Do what `extractors.media.rewriting.rewrite` does with an overlay; `hook` gets the step "overlay"."""
    task = {
        "path": os.path.abspath(path),
        "overlay": overlay.to_dict(),
        "audio_track": audio_track,
        "limits": asdict(limits),
    }
    with _results("overlay", task, hook, budget, cancel, pool) as folder:
        made = folder / OVERLAID
        if (size := made.stat().st_size) > 2 * MAX_BYTES:  # the process itself stops at one
            raise MediaError(Message("export_too_large", {"limit": MAX_BYTES // 1_000_000}), f"{size} bytes")
        return Overlaid(data=made.read_bytes(), left_out=int(json.loads((folder / LEFT_OUT).read_bytes())))


def warm(*, encoder: str = ENCODER, pool: Pool = SHARED) -> None:
    """Start a process and load all models in it, so that the first clip is as quick as the next.

    Args:
        encoder: As in `extract`.
        pool: As above.

    Raises:
        AssetError: If a model file cannot be had.
        WorkerError: If the process crashes, or an error was met that nobody foresaw.
    """
    with _results("warm", {"encoder": encoder}, None, Budget(seconds=READY_SECONDS), None, pool):
        pool.keep_warm(encoder)


def processes() -> list[int]:
    """Return the ids of the shared pool's processes, at work or waiting."""
    return SHARED.processes()


@contextmanager
def _results(
    kind: TaskKind, task: Packet, hook: Hook | None, budget: Budget, cancel: threading.Event | None, pool: Pool
) -> Iterator[Path]:
    """Have a task done; yield the private folder with what it wrote, which is removed afterwards.

    Model files are fetched here first: a worker process has no network.
    """
    for name in _models(kind, task):
        asset(name)
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(private_folder())
        except OSError as error:
            raise StorageError(f"No private folder can be made: {error}") from error
        pool.run(
            {**task, "do": kind, "cpu_seconds": budget.cpu_seconds, "folder": str(folder)},
            hook=hook or _ignore,
            budget=budget,
            cancel=cancel or threading.Event(),
        )
        yield folder


def _models(kind: TaskKind, task: Packet) -> Iterator[str]:
    """Yield the names of the model files that a task needs."""
    if task.get("encoder") == ENCODER:
        yield ENCODER
    if kind in ("extract", "stills", "warm"):
        yield "face_landmarker"
    recognises = kind == "warm" or (kind == "extract" and not task["transcript"])
    states = "feature_set" in task and ExtractionConfig(feature_set=task["feature_set"]).states
    if (recognises or states) and task.get("recogniser", RECOGNISER) == RECOGNISER:
        yield RECOGNISER


def _ignore(step: str, completed: int, total: int) -> None:
    """Receive progress that nobody asked for."""
