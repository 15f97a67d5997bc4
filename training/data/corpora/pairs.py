"""Real pairs: clips with face and voice of one person together (acted sentences in Javanese, seven people)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from extractors.audio import acoustic
from extractors.language import speech_states
from extractors.media import probe
from extractors.vision import facial
from training.data.corpora import augment, speech
from training.data.corpora.sequence import LabelledSequence
from training.data.corpora.speech import VALENCE, SpeechFeatures

FOLDER = "av/javanese"
ARRAYS = ("video", "video_seconds", "rows", "state", "narrow_rows", "narrow_state")


@dataclass(frozen=True, kw_only=True)
class RealPair:
    """One clip of one person.

    Attributes:
        name: File name.
        person: Number of the person in the corpus.
        label: Emotion that was acted.
        video: Raw video columns of the frames with a face.
        video_seconds: Middle of each of these frames.
        audio: Of the sound track, from the start of the clip.
        narrow_audio: Of its 8 kHz copy.
    """

    name: str
    person: str
    label: str
    video: Float32[np.ndarray, "frames 55"]
    video_seconds: Float[np.ndarray, " frames"]
    audio: SpeechFeatures
    narrow_audio: SpeechFeatures

    @property
    def score(self) -> float:
        """Our valence of its emotion."""
        return VALENCE[self.label]


def read(data: Path, cache: Path, *, people: Iterable[str] | None = None) -> list[RealPair]:
    """Every clip, of all people or of some.

    Args:
        data: Folder with `av/javanese/` and its manifest.
        cache: Folder of the cache; one file per clip.
        people: Numbers of the people wanted.
    """
    wanted = None if people is None else frozenset(people)
    with (data / FOLDER / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if wanted is None or row["subject"] in wanted]
    folder = cache / "pairs"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for row in tqdm(rows, desc="pairs", unit="clip", disable=None):
        file = folder / f"{row['file']}.safetensors"
        if not file.exists():
            partial = file.with_suffix(".partial")
            save_file(_extract(data / FOLDER / row["file"]), partial)
            partial.replace(file)
        stored = load_file(file)
        found.append(
            RealPair(
                name=row["file"],
                person=row["subject"],
                label=row["label"],
                video=stored["video"],
                video_seconds=stored["video_seconds"],
                audio=SpeechFeatures(stored["rows"], stored["state"]),
                narrow_audio=SpeechFeatures(stored["narrow_rows"], stored["narrow_state"]),
            )
        )
    return found


def pair_audio(pair: RealPair, *, whisper: bool, narrow: bool = False) -> LabelledSequence:
    """The voice of a real pair, as recordings are read."""
    found = pair.narrow_audio if narrow else pair.audio
    return LabelledSequence(
        values=speech.audio_steps(found),
        statistics=speech.audio_statistics(found, whisper=whisper),
        score=pair.score,
        label=pair.label,
        corpus="javanese",
        split="train",
        person=f"pair_{pair.person}",
    )


def _extract(clip: Path) -> dict[str, np.ndarray]:
    video = facial.from_frames(probe.decode_frames(clip, facial.FRAME_RATE))
    sound = probe.decode_audio(clip)
    if sound is None:
        raise ValueError(f"{clip.name}: no audio stream, expected a clip with face and voice")
    narrow = augment.narrowed(sound.samples)
    arrays = (
        video.values[video.valid],
        (video.start + video.end)[video.valid] / 2,
        acoustic.descriptor_rows(sound.samples).astype(np.float32),
        speech_states.mean_state(sound.samples),
        acoustic.descriptor_rows(narrow).astype(np.float32),
        speech_states.mean_state(narrow),
    )
    return dict(zip(ARRAYS, arrays, strict=True))
