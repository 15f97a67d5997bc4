"""A clip in, features of voice, face and words out.

`python -m extractors FILE [--transcript TEXT] [--cache DIR]` prints a summary.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from extractors.assets.registry import AssetError
from extractors.audio import acoustic, voice_activity
from extractors.language import asr, subtitles, text_encoder, word_features
from extractors.language import transcript as transcripts
from extractors.language.asr import RECOGNISER
from extractors.language.text_encoder import ENCODER
from extractors.language.transcript import Transcript, TranscriptError
from extractors.media import probe
from extractors.media.probe import LIMITS, Limits, MediaError, MediaInfo, Sound
from extractors.progress import ProgressHook
from extractors.schema import MODALITY_NAMES, ClipFeatures, Hook, ModalityFeatures, Track
from extractors.storage.cache import Cache
from extractors.storage.recipe import Recipe
from extractors.vision import facial
from extractors.vision.facial import FaceReading

SCHEMA = Recipe().schema()
"""Of the features that `extract` makes unless it is asked for others; checkpoints carry it."""

STEPS = ("sound", "voice", "face", "words", "language")
"""What `hook` and `ClipFeatures.step_seconds` name."""


class _StoppedError(Exception):
    """The caller no longer waits for this work."""


@dataclass
class _Work:
    """What the threads of one extraction share."""

    recipe: Recipe
    events: queue.SimpleQueue[tuple[str, int, int] | None] = field(default_factory=queue.SimpleQueue)
    stopped: threading.Event = field(default_factory=threading.Event)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def tell(self, step: str, completed: int, total: int) -> None:
        if self.stopped.is_set():
            raise _StoppedError
        self.events.put((step, completed, total))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step and tell of its begin and end."""
        self.tell(name, 0, 1)
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin
        self.tell(name, 1, 1)


def extract(
    path: Path | str,
    transcript: str | Transcript | None = None,
    hook: Hook | None = None,
    limits: Limits = LIMITS,
    *,
    recogniser: str = RECOGNISER,
    encoder: str = ENCODER,
    descriptors: str = acoustic.EGEMAPS.name,
    frame_rate: float = facial.FRAME_RATE,
    cache: Cache | None = None,
) -> ClipFeatures:
    """Extract everything the model and the screen need to know of a clip.

    Voice, face and words are worked on side by side: their libraries compute outside Python's lock.

    Args:
        path: A video or sound file.
        transcript: What is said: plain text, SRT, WebVTT, or words with times; None or blank to have it recognised.
        hook: Told of progress as (step of `STEPS`, completed, total), always in the caller's own thread; of nothing
            where the features come from the cache.
        limits: What the clip may cost.
        recogniser: As in `recogniser.load`.
        encoder: As in `text_encoder.load`. Any but the default, here and below, makes features of another schema than
            `SCHEMA`.
        descriptors: Of the voice, a name of `acoustic.DESCRIPTOR_SETS`.
        frame_rate: Pictures looked at per second, in (0, 100].
        cache: Where to look for the features first, and to keep them.

    Returns:
        Features of every modality; one that is not there carries the reason.

    Raises:
        MediaError: If the file cannot be used as a clip.
        TranscriptError: If the typed transcript cannot be used.
        AssetError: If a model file cannot be had.
        ValueError: If there are no such descriptors or the frame rate is out of range.
    """
    recipe = Recipe(
        transcript=transcript,
        limits=limits,
        recogniser=recogniser,
        encoder=encoder,
        descriptors=descriptors,
        frame_rate=frame_rate,
    )
    if cache is not None:
        return cache.fetch(Path(path), recipe, lambda: _extract(Path(path), recipe, hook))
    return _extract(Path(path), recipe, hook)


def warm(*, encoder: str = ENCODER) -> None:
    """Load all models and run each once, so that the first clip is as quick as the next.

    Args:
        encoder: As in `extract`.

    Raises:
        AssetError: If a model file cannot be had.
    """
    word_features.encode_words([["warm"]], model=text_encoder.load(encoder))
    asr.load()
    voice_activity.stretches(np.zeros(voice_activity.SAMPLE_RATE, np.float32))
    noise = np.random.default_rng(0).normal(0, 0.1, acoustic.SAMPLE_RATE).astype(np.float32)
    acoustic.from_waveform(noise)
    facial.from_frames([(0.0, np.zeros((64, 64, 3), np.uint8))])


def _extract(path: Path, recipe: Recipe, hook: Hook | None) -> ClipFeatures:
    """Let threads do the work, and tell of it in this one."""
    given = recipe.given
    if isinstance(given, str):  # a bad transcript is refused before any work
        subtitles.parse(given) if subtitles.is_subtitles(given) else transcripts.split_words(given)
    work = _Work(recipe=recipe)
    with ThreadPoolExecutor(max_workers=3, thread_name_prefix="extract") as pool:
        job = pool.submit(_work_on, path, work, pool)
        job.add_done_callback(lambda _: work.events.put(None))
        try:
            for event in iter(work.events.get, None):
                if hook is not None:
                    hook(*event)
        except BaseException:
            work.stopped.set()
            raise
        return job.result()


def _work_on(path: Path, work: _Work, pool: ThreadPoolExecutor) -> ClipFeatures:
    recipe, limits = work.recipe, work.recipe.limits
    try:
        info = probe.probe(path, limits)
        face = pool.submit(_face, path, info, work)
        with work.step("sound"):
            sound = probe.decode_audio(path, limits, work.notes.append)
        voice = pool.submit(_voice, sound, work)
        duration = max(info.seconds, sound.end if sound else 0.0)
        with work.step("words"):
            spoken = _words(sound, duration, work)
        with work.step("language"):
            language = word_features.from_words(spoken.words, encoder=recipe.encoder)
        (audio, curves), pictures = voice.result(), face.result()
        video = pictures.features
    except BaseException:
        work.stopped.set()
        raise
    if sound is None and not len(video.start):
        raise MediaError("Nothing in this file could be decoded. It may be damaged.", "; ".join(work.notes))
    duration = float(video.start.max(initial=duration))
    return ClipFeatures(
        audio=audio,
        video=replace(video, end=np.maximum(np.minimum(video.end, duration), video.start)),
        language=language,
        words=spoken.words,
        duration=duration,
        schema=recipe.schema(),
        transcript_source=spoken.source,
        notes=(*sorted(work.notes), *pictures.notes, *spoken.notes),
        step_seconds=MappingProxyType({name: work.seconds[name] for name in STEPS}),
        tracks=(*curves, *pictures.tracks),
    )


def _voice(sound: Sound | None, work: _Work) -> tuple[ModalityFeatures, tuple[Track, ...]]:
    with work.step("voice"):
        if sound is None:
            dim = acoustic.descriptor_set(work.recipe.descriptors).schema.dim
            return ModalityFeatures.missing("no audio stream", dim), ()
        voice = acoustic.read(sound.samples, start=sound.start, descriptors=work.recipe.descriptors)
        stretches = voice_activity.stretches(sound.samples, start=sound.start)
        activity = voice_activity.track(stretches, start=sound.start, end=sound.end)
        return voice.features, (*voice.tracks, activity)


def _face(path: Path, info: MediaInfo, work: _Work) -> FaceReading:
    rate = work.recipe.frame_rate
    total = round(info.seconds * rate) or 1

    def told() -> Iterator[tuple[float, np.ndarray]]:
        frames = probe.decode_frames(path, rate, work.recipe.limits, work.notes.append)
        for done, frame in enumerate(frames):
            work.tell("face", min(done, total), total)
            yield frame

    with work.step("face"):
        reading = facial.read(told(), rate)
    if info.has_video and not len(reading.features.start):
        missing = ModalityFeatures.missing("the picture could not be decoded", facial.SCHEMA.dim)
        return FaceReading(features=missing)
    return reading


def _words(sound: Sound | None, duration: float, work: _Work) -> Transcript:
    given = work.recipe.given
    samples = sound.samples if sound else np.zeros(0, np.float32)
    start = sound.start if sound else 0.0
    if isinstance(given, Transcript):
        return transcripts.clamped(given, duration=duration)
    if given is not None and subtitles.is_subtitles(given):
        return subtitles.parse(given, duration=duration)
    if given is not None:
        return transcripts.typed(given, samples, start=start, duration=duration)
    return asr.recognise(
        samples,
        start=start,
        progress=lambda completed, total: work.tell("words", completed, total),
        recogniser=work.recipe.recogniser,
    )


def summary(features: ClipFeatures) -> str:
    """Describe features for a terminal.

    Args:
        features: Of any clip.

    Returns:
        Several lines: length, modalities, words with times, notes, step times.
    """
    lines = [f"duration    {features.duration:.2f} s"]
    for name in MODALITY_NAMES:
        part = features.modality(name)
        steps = f"{len(part.values)} steps x {part.values.shape[1]}"
        span = f"{part.start[0]:.2f}-{part.end[-1]:.2f} s, {part.valid.mean():.0%} valid" if len(part.values) else "-"
        lines.append(f"{name:<11} {steps}, {span}" if part.absent is None else f"{name:<11} absent: {part.absent}")
    lines.append(f"transcript  {features.transcript_source}")
    lines += [f"  {word.start:6.2f}-{word.end:6.2f}  {word.text}" for word in features.words]
    lines += [f"note        {note}" for note in features.notes]
    lines.append("seconds     " + ", ".join(f"{step} {took:.2f}" for step, took in features.step_seconds.items()))
    return "\n".join(lines)


def main() -> int:
    """Print a clip's summary."""
    parser = argparse.ArgumentParser(prog="python -m extractors", description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--transcript", help="what is said; recognised if not given")
    parser.add_argument("--cache", type=Path, help="folder that keeps features, so that no clip is extracted twice")
    arguments = parser.parse_args()
    cache = Cache(arguments.cache) if arguments.cache else None
    try:
        with ProgressHook(transient=True) as hook:
            features = extract(arguments.file, arguments.transcript, hook, cache=cache)
        print(summary(features))
    except (MediaError, TranscriptError, AssetError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
