"""Extraction: from a clip to its audio, video and text features."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float32

from extractors.audio import acoustic, quality, sound_tracks, voice_activity
from extractors.audio.acoustic import AudioFeatures
from extractors.language import asr, languages, speech_states, subtitles, text_encoder, word_features
from extractors.language import transcript as transcripts
from extractors.language.asr import RECOGNISER
from extractors.language.speakers import naming, turns, voices
from extractors.language.speakers.turns import Speakers
from extractors.language.text_encoder import ENCODER
from extractors.language.transcript import Transcript, TranscriptError
from extractors.media import probe
from extractors.media.probe import LIMITS, Limits, MediaError, MediaInfo, Sound
from extractors.messages import Message, Value
from extractors.schema import ClipFeatures, FeatureSet, Hook, ModalityFeatures
from extractors.storage.cache import Cache
from extractors.storage.config import ExtractionConfig
from extractors.vision import covering, facial
from extractors.vision.facial import VideoFeatures

SCHEMA = ExtractionConfig().schema()
"""Of the features that `extract` makes unless it is asked for others; checkpoints carry it."""

STEPS = ("sound", "voice", "face", "words", "language")
"""Names that `hook` and `ClipFeatures.step_seconds` use."""


class _StoppedError(Exception):
    """The caller no longer waits for this work."""


@dataclass
class _Work:
    """State that the threads of one extraction share."""

    config: ExtractionConfig
    events: queue.SimpleQueue[tuple[str, int, int] | None] = field(default_factory=queue.SimpleQueue)
    stopped: threading.Event = field(default_factory=threading.Event)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[Message] = field(default_factory=list)

    def report(self, step: str, completed: int, total: int) -> None:
        if self.stopped.is_set():
            raise _StoppedError
        self.events.put((step, completed, total))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step and report its begin and end."""
        self.report(name, 0, 1)
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin
        self.report(name, 1, 1)


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
    feature_set: FeatureSet = "steps",
    audio_track: int | None = None,
    caption_track: int | None = None,
    cache: Cache | None = None,
) -> ClipFeatures:
    """Extract features of all modalities of a clip.

    Audio, video and text are extracted in parallel threads: their libraries compute outside Python's lock.

    Args:
        path: A video or audio file.
        transcript: What is said: plain text, captions as `subtitles.parse` reads them, or words with times; None or
            blank to have it recognised. Words in a language that the encoder does not read are replaced by those that
            are recognised, translated where needed, and noted.
        hook: Called with progress as (step of `STEPS`, completed, total), always in the caller's own thread; never
            where the features come from the cache.
        limits: What the clip may cost.
        recogniser: As in `asr.load`.
        encoder: As in `text_encoder.load`. Any but the default, here and below, makes features of another schema than
            `SCHEMA`.
        descriptors: Of the audio features, a name of `acoustic.DESCRIPTOR_SETS`.
        frame_rate: Frames per second that are analysed, in (0, 100].
        feature_set: Columns of audio and video; "statistics+whisper" needs the recogniser, whoever gives the words.
        audio_track: Which sound track is used, from 1; None for the one with the most speech.
        caption_track: Which caption track of the file says the words, from 1; None for none of them.
        cache: Where to look for the features first, and to keep them.

    Returns:
        Features of every modality; one that is not there carries the reason.

    Raises:
        MediaError: If the file cannot be used as a clip.
        TranscriptError: If the transcript cannot be used, or is not English and no speech is recognised.
        AssetError: If a model file cannot be had.
        ValueError: As `ExtractionConfig`.
    """
    config = ExtractionConfig(
        transcript=transcript,
        limits=limits,
        recogniser=recogniser,
        encoder=encoder,
        descriptors=descriptors,
        frame_rate=frame_rate,
        feature_set=feature_set,
        audio_track=audio_track,
        caption_track=caption_track,
    )
    if cache is not None:
        return cache.fetch(Path(path), config, lambda: _extract(Path(path), config, hook))
    return _extract(Path(path), config, hook)


def check(path: Path | str, limits: Limits = LIMITS, hook: Hook | None = None) -> None:
    """Decode a clip to its end without any model: what a file is refused for, it is refused for here.

    Args:
        path: As in `extract`.
        limits: As there.
        hook: Called as there, with the step "check".

    Raises:
        MediaError: As `extract`.
    """
    notes: list[Message] = []
    info = probe.probe(path, limits)
    sound = probe.decode_audio(path, limits, notes.append)
    frames = 0
    total = round(info.seconds * facial.FRAME_RATE) or 1
    images = probe.decode_frames(path, facial.FRAME_RATE, limits, notes.append)
    for frames, _image in enumerate(images, start=1):
        if hook is not None:
            hook("check", min(frames, total), total)
    _check_decoded(sound, frames, notes)


def _check_decoded(sound: Sound | None, frames: int, notes: Iterable[Message]) -> None:
    if (sound is None or not len(sound.samples)) and not frames:
        raise MediaError(Message("nothing_decoded"), "; ".join(map(str, notes)))


def warm(*, encoder: str = ENCODER) -> None:
    """Load all models and run each once, so that the first clip is as quick as the next.

    Args:
        encoder: As in `extract`.

    Raises:
        AssetError: If a model file cannot be had.
    """
    word_features.encode_words([["warm"]], model=text_encoder.load(encoder))
    languages.foreign("warm", encoder=encoder)
    asr.load()
    voice_activity.segments(np.zeros(probe.SAMPLE_RATE, np.float32))
    noise = np.random.default_rng(0).normal(0, 0.1, probe.SAMPLE_RATE).astype(np.float32)
    acoustic.from_waveform(noise)
    speech_states.mean_state(noise)
    voices.embed([noise])
    facial.from_frames([(0.0, np.zeros((64, 64, 3), np.uint8))])
    covering.warm()


def _extract(path: Path, config: ExtractionConfig, hook: Hook | None) -> ClipFeatures:
    """Let threads do the work, and call the hook in this one."""
    if isinstance(given := config.given, str):  # a bad transcript is refused before any work
        subtitles.parse(given) if subtitles.is_subtitles(given) else transcripts.split_words(given)
    work = _Work(config=config)
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
    config, limits = work.config, work.config.limits
    try:
        info = probe.probe(path, limits)
        face = pool.submit(_video, path, info, work)
        with work.step("sound"):
            sound = sound_tracks.decode(path, info, limits, work.notes.append, asked=config.audio_track)
        voice = pool.submit(_audio, sound, work)
        duration = max(info.seconds, sound.end if sound else 0.0)
        with work.step("words"):
            spoken = _words(path, sound, info, duration, work)
        audio, who = voice.result()
        words = spoken.words
        if not any(word.speaker for word in words):  # captions that name speakers know them better
            words = naming.named(words, who.turns)
            work.notes += naming.notes(words, who)
        with work.step("language"):  # after the naming: a sentence ends where another one speaks
            language = word_features.from_words(words, encoder=config.encoder)
        video = face.result()
    except BaseException:
        work.stopped.set()
        raise
    _check_decoded(sound, len(video.features.start), work.notes)
    steps = video.features
    duration = float(steps.start.max(initial=duration))
    return ClipFeatures(
        audio=audio.features,
        video=replace(steps, end=np.maximum(np.minimum(steps.end, duration), steps.start)),
        language=language,
        words=words,
        duration=duration,
        schema=config.schema(),
        transcript_source=spoken.source,
        notes=(*sorted(work.notes, key=str), *video.notes, *spoken.notes),
        step_seconds=MappingProxyType({name: work.seconds[name] for name in STEPS}),
        tracks=(*audio.tracks, *video.tracks),
        outlines=video.outlines,
        voice_rows=audio.rows.astype(np.float32) if work.config.statistics and audio.rows is not None else None,
        voice_states=audio.states,
    )


def _audio(sound: Sound | None, work: _Work) -> tuple[AudioFeatures, Speakers]:
    """Measure the voice, and tell speakers apart by it."""
    with work.step("voice"):
        if sound is None:
            return AudioFeatures(features=work.config.audio.missing(Message("no_audio_stream"))), Speakers()
        audio = work.config.audio.read(sound.samples, start=sound.start)
        segments = voice_activity.segments(quality.raised(sound.samples), start=sound.start)
        activity = voice_activity.track(segments, start=sound.start, end=sound.end)
        ratio = quality.signal_to_noise(sound.samples, segments, start=sound.start)
        decibels = quality.overall(ratio)
        if decibels is not None and decibels < quality.NOISY_DB:
            work.notes.append(Message("audio_noisy", {"ratio": round(decibels)}))
        if segments and quality.is_narrow(sound.samples):
            work.notes.append(Message("audio_narrow"))
        speakers = turns.find(quality.raised(sound.samples), segments, start=sound.start)
        return replace(audio, tracks=(*audio.tracks, activity, ratio)), speakers


def _video(path: Path, info: MediaInfo, work: _Work) -> VideoFeatures:
    rate = work.config.frame_rate
    frames = _Frames(path, round(info.seconds * rate) or 1, work)
    with work.step("face"):
        video = facial.read(frames, rate)
    work.notes += frames.notes
    if info.video_codec is not None and not len(video.features.start):
        missing = ModalityFeatures.missing(Message("video_not_decoded"), facial.SCHEMA.dim)
        video = VideoFeatures(features=missing)
    return replace(video, features=facial.with_statistics(video.features)) if work.config.statistics else video


class _Frames:
    """A clip's frames with reports of progress; each iteration decodes them anew, from the start."""

    def __init__(self, path: Path, total: int, work: _Work) -> None:
        self.notes: list[Message] = []  # of the last iteration
        self._path, self._total, self._work = path, total, work

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        self.notes = []
        config = self._work.config
        frames = probe.decode_frames(self._path, config.frame_rate, config.limits, self.notes.append)
        for done, frame in enumerate(frames):
            self._work.report("face", min(done, self._total), self._total)
            yield frame


def _words(path: Path, sound: Sound | None, info: MediaInfo, duration: float, work: _Work) -> Transcript:
    """Return the words that are given, or those that are recognised where none are, or the encoder cannot read them."""
    given = _given(path, sound, info, duration, work.config)
    if info.caption_tracks and given is None:
        values: dict[str, Value] = {"count": len(info.caption_tracks), "languages": ", ".join(info.caption_tracks)}
        work.notes.append(Message("caption_tracks_there", values))
    found = None if given is None else languages.foreign(given.text, encoder=work.config.encoder)
    if given is not None and (found is None or found.share < languages.MOST):
        if found is None:
            return given
        values = {"share": round(100 * found.share), "language": found.language}
        return replace(given, notes=(*given.notes, Message("transcript_partly_foreign", values)))
    heard = asr.recognise(
        _speech(sound),
        start=sound.start if sound else 0.0,
        progress=lambda completed, total: work.report("words", completed, total),
        recogniser=work.config.recogniser,
    )
    if found is None:
        return heard
    if not heard.words:
        raise TranscriptError(Message("transcript_foreign", {"language": found.language}))
    return replace(heard, notes=(Message("transcript_foreign_replaced", {"language": found.language}), *heard.notes))


def _given(
    path: Path, sound: Sound | None, info: MediaInfo, duration: float, config: ExtractionConfig
) -> Transcript | None:
    given, track = config.given, config.caption_track
    if track is not None:
        captions = probe.decode_captions(path, config.limits, track=track)
        tracks = info.caption_tracks
        note = Message("caption_track_used", {"track": track, "count": len(tracks), "language": tracks[track - 1]})
        spoken = subtitles.of_track(captions, duration=duration)
        return replace(spoken, notes=(note, *spoken.notes))
    if given is None:
        return None
    if isinstance(given, Transcript):
        return transcripts.clamped(given, duration=duration)
    if subtitles.is_subtitles(given):
        return subtitles.parse(given, duration=duration, frame_rate=info.fps)
    return transcripts.typed(given, _speech(sound), start=sound.start if sound else 0.0, duration=duration)


def _speech(sound: Sound | None) -> Float32[np.ndarray, " samples"]:
    """Return a clip's sound as loud as usual speech; empty without any."""
    return quality.raised(sound.samples) if sound else np.zeros(0, np.float32)
