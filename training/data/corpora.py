"""Corpora of sentences, voices and faces as features of the app's extractors, kept in a cache.

No corpus has all three modalities; `training.release.compose` joins them by label.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import Float
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from alignmamba.prediction import SCORE_LIMIT
from extractors.audio import acoustic
from extractors.language import text_encoder, word_features
from extractors.language.text_encoder import ENCODER
from extractors.media import probe
from extractors.schema import ModalityFeatures
from extractors.storage.config import ExtractionConfig
from extractors.vision import facial

log = logging.getLogger(__name__)

# Our valence of acted emotions, in units of the sentiment score; no corpus gives one.
VOICE_VALENCE = {
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
FACE_VALENCE = {
    "happy": 2.0,
    "surprise": 0.0,
    "sadness": -1.5,
    "fear": -1.5,
    "contempt": -1.0,
    "disgust": -2.0,
    "anger": -2.0,
}
# Held-out people, chosen by their place in the corpora before any training.
VALIDATION_SPEAKERS = frozenset({"ravdess_19", "ravdess_20", "emodb_14"})
TEST_SPEAKERS = frozenset({"ravdess_21", "ravdess_22", "ravdess_23", "ravdess_24", "savee_KL", "emodb_15", "emodb_16"})
SUBJECT_SHARES = {"valid": 0.1, "test": 0.2}  # of the subjects of the face corpus, by hash of the name

SST_SCALE = 1.25  # classes 0..4 around 2 -> -2.5..2.5
SNIPPET_SCALE = 0.75  # rater means -4..4 -> -3..3
FACE_ENLARGED, FACE_BORDER = 288, 100  # pixels: MediaPipe then finds a face in all 981 images
TALKING_CLIPS = ("WDA_AlexandriaOcasioCortez_000", "WDA_KatieHill_000", "retalking_1", "retalking_2", "retalking_3")


@dataclass(frozen=True, kw_only=True)
class LabelledSequence:
    """One labelled sequence of one modality.

    Attributes:
        values: Valid steps only, as the app's extractors make them.
        score: Sentiment in [-3, 3].
        label: The corpus's own label ("happy"); for text the score again.
        corpus: Where it is from.
        split: "train", "valid" or "test".
        id: The corpus's own name of it; empty where it gives none.
    """

    values: Float[np.ndarray, "steps dim"]
    score: float
    label: str
    corpus: str
    split: str
    id: str = ""


def _cached(file: Path, make: Callable[[], Iterable[np.ndarray]]) -> list[np.ndarray]:
    """Sequences of `make`, kept in one safetensors file as rows (float16 where they fit) and lengths."""
    if not file.exists():
        sequences = list(make())
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = np.concatenate(sequences).astype(
            np.float16 if np.abs(np.concatenate(sequences)).max() < 6e4 else np.float32
        )
        partial = file.with_suffix(".partial")
        save_file({"rows": rows, "lengths": np.array([len(s) for s in sequences])}, partial)
        partial.replace(file)
    stored = load_file(file)
    return [part for part in np.split(stored["rows"], np.cumsum(stored["lengths"])[:-1])]


def _cache_file(cache: Path, name: str, keys: Iterable[str], *, encoder: str = ENCODER) -> Path:
    """File name that changes with the feature schema and with what is read."""
    known = hashlib.sha256(repr(ExtractionConfig(encoder=encoder).schema().to_dict()).encode())
    for key in keys:
        known.update(key.encode() + b"\0")
    return cache / f"{name}-{known.hexdigest()[:16]}.safetensors"


def sentences(data: Path) -> Iterator[tuple[str, float, str, str, str]]:
    """Text, score, corpus, split and id of every labelled sentence; only CMU-MOSI gives ids."""
    folder = data / "text"
    with (folder / "mosi_label.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row["text"], float(row["label"]), "mosi", row["mode"], row["id"]
    for part, split in (("train", "train"), ("dev", "valid"), ("test", "test")):
        for line in (folder / f"stsa.fine.{part}").read_text(encoding="utf-8").splitlines():
            yield line[2:], (int(line[0]) - 2) * SST_SCALE, "sst", split, ""
    for name in ("movie", "amazon"):
        raw = (folder / f"{name}ReviewSnippets_GroundTruth.txt").read_text(encoding="utf-8", errors="replace")
        for line in raw.splitlines():
            _, mean, sentence = line.split("\t", 2)
            yield sentence, float(np.clip(float(mean) * SNIPPET_SCALE, -SCORE_LIMIT, SCORE_LIMIT)), name, "train", ""


def read_text(data: Path, cache: Path, *, encoder: str = ENCODER) -> list[LabelledSequence]:
    """Every sentence as word states; sentences without a word are left out."""
    rows = [(sentence.split(), *rest) for sentence, *rest in sentences(data)]
    rows = [row for row in rows if row[0]]

    def encode() -> Iterator[np.ndarray]:
        block = 512  # sentences a call, so that progress shows
        for first in tqdm(range(0, len(rows), block), desc="sentences", unit="block"):
            yield from word_features.encode_words([words for words, *_ in rows[first : first + block]], model=model)

    model = text_encoder.load(encoder)
    file = _cache_file(cache, "text", (" ".join(words) for words, *_ in rows), encoder=encoder)
    return [
        LabelledSequence(values=values, score=score, label=str(score), corpus=corpus, split=split, id=id_)
        for values, (_, score, corpus, split, id_) in zip(_cached(file, encode), rows, strict=True)
    ]


def _waveform(path: Path) -> np.ndarray:
    """A recording of the corpora: 16 kHz mono FLAC."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate, width = container.streams.audio[0].rate, frames[0].dtype
    if rate != acoustic.SAMPLE_RATE:
        raise ValueError(f"{path.name}: {rate} Hz, expected {acoustic.SAMPLE_RATE}")
    return np.concatenate(frames, 1)[0].astype(np.float32) / np.iinfo(width).max


def _speaker_split(speaker: str) -> str:
    return "valid" if speaker in VALIDATION_SPEAKERS else "test" if speaker in TEST_SPEAKERS else "train"


def read_voices(data: Path, cache: Path) -> list[LabelledSequence]:
    """Every acted recording as pooled low-level descriptors, split by speaker."""
    with (data / "speech" / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["emotion"] in VOICE_VALENCE]

    def extract() -> Iterator[np.ndarray]:
        for row in tqdm(rows, desc="voices", unit="file"):
            yield _kept(acoustic.from_waveform(_waveform(data / row["path"])))

    file = _cache_file(cache, "voice", (row["path"] for row in rows))
    return [
        LabelledSequence(
            values=values,
            score=VOICE_VALENCE[row["emotion"]],
            label=row["emotion"],
            corpus=row["corpus"],
            split=_speaker_split(row["speaker"]),
        )
        for values, row in zip(_cached(file, extract), rows, strict=True)
    ]


def _kept(features: ModalityFeatures) -> np.ndarray:
    return features.values[features.valid]


def _subject_split(subject: str) -> str:
    place = int(hashlib.sha256(subject.encode()).hexdigest(), 16) % 1000 / 1000
    if place < SUBJECT_SHARES["test"]:
        return "test"
    return "valid" if place < SUBJECT_SHARES["test"] + SUBJECT_SHARES["valid"] else "train"


def read_faces(data: Path, cache: Path) -> list[LabelledSequence]:
    """Every peak expression as one step of blendshapes and pose, split by subject."""
    folder = data / "faces" / "ck48"
    files = [file for emotion in sorted(FACE_VALENCE) for file in sorted((folder / emotion).glob("*.png"))]

    def extract() -> Iterator[np.ndarray]:
        for file in tqdm(files, desc="faces", unit="image"):
            grey = cv2.resize(cv2.imread(str(file)), (FACE_ENLARGED, FACE_ENLARGED), interpolation=cv2.INTER_CUBIC)
            frame = cv2.copyMakeBorder(grey, *[FACE_BORDER] * 4, cv2.BORDER_REPLICATE)
            yield _kept(facial.from_frames([(0.0, frame)]))

    found = _cached(_cache_file(cache, "face", (f"{file.parent.name}/{file.name}" for file in files)), extract)
    samples = [
        LabelledSequence(
            values=values,
            score=FACE_VALENCE[file.parent.name],
            label=file.parent.name,
            corpus="ck",
            split=_subject_split(file.name.split("_")[0]),
        )
        for values, file in zip(found, files, strict=True)
        if len(values)
    ]
    log.info("faces: found in %d of %d images", len(samples), len(files))
    return samples


def read_talking(data: Path, cache: Path) -> list[np.ndarray]:
    """Face sequences of real people talking, for the dynamics of mouth and eyes."""

    def extract() -> Iterator[np.ndarray]:
        for name in tqdm(TALKING_CLIPS, desc="talking", unit="clip"):
            yield _kept(
                facial.from_frames(probe.decode_frames(data / "clips" / "talking" / f"{name}.mp4", facial.FRAME_RATE))
            )

    return _cached(_cache_file(cache, "talking", TALKING_CLIPS), extract)
