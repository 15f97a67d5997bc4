"""Recordings of acted emotion: who speaks, in which split, and their features, plain and augmented, kept in a cache."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from jaxtyping import Float32
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from extractors.audio import acoustic, statistics
from extractors.language import speech_states
from training.data.corpora import augment
from training.data.corpora.sequence import LabelledSequence

log = logging.getLogger(__name__)

MANIFESTS = ("speech/manifest.csv", "speech/manifest_more.csv")
SPLIT_FILE = Path(__file__).with_name("split.csv")
SPLIT_SALT = "alignmamba 2026-11-26"
SHARES = {"test": 0.2, "valid": 0.1}  # of the speakers of each corpus, at least one each
PART = 256  # recordings per file of the cache, so that a killed run goes on

Split = Literal["train", "valid", "test"]

# Our valence of acted emotions, in units of the sentiment score; no corpus gives one.
VALENCE = {
    "happy": 2.0,
    "calm": 0.0,
    "neutral": 0.0,
    "bored": -0.5,
    "surprised": 0.0,
    "sad": -1.5,
    "fearful": -1.5,
    "disgust": -2.0,
    "angry": -2.0,
}
EMOTIONS = tuple(VALENCE)
NEGATIVE = ("sad", "fearful", "disgust", "angry")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One acted recording, as the manifests name it."""

    path: str
    corpus: str
    speaker: str
    emotion: str
    split: Split

    @property
    def score(self) -> float:
        """Our valence of its emotion."""
        return VALENCE[self.emotion]


class SpeechFeatures(NamedTuple):
    """What is extracted of one recording: openSMILE's rows every 10 ms and the mean Whisper state."""

    rows: Float32[np.ndarray, "rows 25"]
    state: Float32[np.ndarray, " 512"]


def speaker_splits() -> dict[str, Split]:
    """Return the split of every speaker, as `split.csv` fixes it."""
    with SPLIT_FILE.open(newline="", encoding="utf-8") as file:
        return {row["speaker"]: row["split"] for row in csv.DictReader(file)}


def draw_split(speakers: Iterable[tuple[str, str]]) -> dict[str, Split]:
    """Draw a split of (corpus, speaker) pairs by hash of the name, corpus by corpus; how `split.csv` was made."""
    drawn: dict[str, Split] = {}
    pairs = sorted(set(speakers))
    for corpus in sorted({corpus for corpus, _ in pairs}):
        names = [speaker for name, speaker in pairs if name == corpus]
        names.sort(key=lambda name: hashlib.sha256(f"{SPLIT_SALT}:{name}".encode()).hexdigest())
        test, valid = (max(1, round(share * len(names))) for share in SHARES.values())
        for place, name in enumerate(names):
            drawn[name] = "test" if place < test else "valid" if place < test + valid else "train"
    return drawn


def read(data: Path) -> list[Recording]:
    """List every recording.

    Args:
        data: Folder with `speech/` and its manifests.
    """
    splits, found = speaker_splits(), []
    for manifest in MANIFESTS:
        with (data / manifest).open(newline="", encoding="utf-8") as file:
            found += [
                Recording(
                    path=row["path"],
                    corpus=row["corpus"],
                    speaker=row["speaker"],
                    emotion=row["emotion"],
                    split=splits[row["speaker"]],
                )
                for row in csv.DictReader(file)
            ]
    return found


def waveform(path: Path) -> Float32[np.ndarray, " samples"]:
    """Read a recording of the corpora, 16 kHz mono FLAC, as full scale 1."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate, width = container.streams.audio[0].rate, frames[0].dtype
    if rate != acoustic.SAMPLE_RATE:
        raise ValueError(f"{path.name}: {rate} Hz, expected {acoustic.SAMPLE_RATE}")
    return np.concatenate(frames, 1)[0].astype(np.float32) / np.iinfo(width).max


def features(recordings: Sequence[Recording], data: Path, cache: Path, *, variant: str) -> list[SpeechFeatures]:
    """Extract features, or read what the cache holds.

    Args:
        recordings: Of `read`.
        data: As there.
        cache: Folder of the cache.
        variant: "plain", "narrow" (8 kHz), or "augmented-K" for the K-th augmented copy.
    """
    known = hashlib.sha256("\0".join(each.path for each in recordings).encode()).hexdigest()[:12]
    folder = cache / f"speech-{variant}-{known}"
    folder.mkdir(parents=True, exist_ok=True)
    found: list[SpeechFeatures] = []
    for first in tqdm(range(0, len(recordings), PART), desc=f"speech {variant}", unit="part"):
        file = folder / f"{first:05d}.safetensors"
        if not file.exists():
            _extract(recordings, range(first, min(first + PART, len(recordings))), data, file, variant)
        stored = load_file(file)
        rows = np.split(stored["rows"], np.cumsum(stored["lengths"])[:-1])
        found += [SpeechFeatures(*pair) for pair in zip(rows, stored["states"], strict=True)]
    return found


def sequences(data: Path, cache: Path, *, whisper: bool, copies: int = 0) -> list[LabelledSequence]:
    """Every recording as filled steps with clip-level statistics.

    Args:
        data: As in `read`.
        cache: As in `features`.
        whisper: Whether the mean Whisper state follows openSMILE's statistics.
        copies: Augmented copies of each training recording.
    """
    recordings = read(data)
    training = [each for each in recordings if each.split == "train"]
    augmented = [features(training, data, cache, variant=f"augmented-{number + 1}") for number in range(copies)]
    copied = {each.path: [part[place] for part in augmented] for place, each in enumerate(training)}
    plain = features(recordings, data, cache, variant="plain")
    return [
        replace(
            as_sequence(found, whisper=whisper, recording=recording),
            copies=tuple(
                as_sequence(copy, whisper=whisper, recording=recording) for copy in copied.get(recording.path, ())
            ),
        )
        for recording, found in zip(recordings, plain, strict=True)
    ]


def as_sequence(found: SpeechFeatures, *, whisper: bool, recording: Recording) -> LabelledSequence:
    """The sequence of a recording's features, as the app's extractors make it."""
    return LabelledSequence(
        values=audio_steps(found),
        statistics=audio_statistics(found, whisper=whisper),
        score=recording.score,
        label=recording.emotion,
        corpus=recording.corpus,
        split=recording.split,
        id=recording.path,
        person=recording.speaker,
    )


def audio_steps(found: SpeechFeatures) -> Float32[np.ndarray, "steps 51"]:
    """The 51 step columns of a recording's valid steps."""
    values, valid = acoustic.pooled(found.rows.astype(np.float64))
    return acoustic.filled_steps(values[valid])


def audio_statistics(found: SpeechFeatures, *, whisper: bool) -> Float32[np.ndarray, " statistics"]:
    """The clip-level columns: 260, or 772 with the mean Whisper state."""
    made = statistics.clip_statistics(found.rows)
    return np.concatenate([made, found.state]) if whisper else made


def _extract(recordings: Sequence[Recording], chosen: range, data: Path, file: Path, variant: str) -> None:
    rows, states = [], []
    babble = [waveform(data / each.path) for each in _babblers(recordings)] if variant.startswith("augmented") else []
    for index in chosen:
        samples = _changed(waveform(data / recordings[index].path), variant, index, babble)
        rows.append(acoustic.descriptor_rows(samples).astype(np.float32))
        states.append(speech_states.mean_state(samples))
    partial = file.with_suffix(".partial")
    stacked = {"rows": np.concatenate(rows), "lengths": np.array([len(part) for part in rows])}
    save_file({**stacked, "states": np.stack(states)}, partial)
    partial.replace(file)


def _babblers(recordings: Sequence[Recording]) -> list[Recording]:
    """Recordings that babble is mixed from: of training speakers only."""
    training = [each for each in recordings if each.split == "train"]
    return training[:: max(1, len(training) // 64)]


def _changed(samples: np.ndarray, variant: str, index: int, babble: Sequence[np.ndarray]) -> np.ndarray:
    if variant == "plain":
        return samples
    if variant == "narrow":
        return augment.narrowed(samples)
    copy = int(variant.removeprefix("augmented-"))
    return augment.augmented(samples, babble, seed=1_000_003 * copy + index)
