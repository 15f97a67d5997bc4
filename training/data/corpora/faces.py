"""Faces: CK+ peak expressions, and real people who talk without an expression."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from extractors.media import probe
from extractors.schema import ModalityFeatures
from extractors.vision import facial
from training.data.corpora.sequence import LabelledSequence, cache_file, cached

log = logging.getLogger(__name__)

# Our valence of acted expressions, in units of the sentiment score; the corpus gives none.
VALENCE = {
    "happy": 2.0,
    "surprise": 0.0,
    "sadness": -1.5,
    "fear": -1.5,
    "contempt": -1.0,
    "disgust": -2.0,
    "anger": -2.0,
}
SUBJECT_SHARES = {"valid": 0.1, "test": 0.2}  # of the subjects, by hash of the name
ENLARGED, BORDER = 288, 100  # pixels: MediaPipe then finds a face in all 981 images
TALKING_CLIPS = ("WDA_AlexandriaOcasioCortez_000", "WDA_KatieHill_000", "retalking_1", "retalking_2", "retalking_3")


def read(data: Path, cache: Path) -> list[LabelledSequence]:
    """Every peak expression as one step of blendshapes and pose, split by subject."""
    folder = data / "faces" / "ck48"
    files = [file for emotion in sorted(VALENCE) for file in sorted((folder / emotion).glob("*.png"))]

    def extract() -> Iterator[np.ndarray]:
        for file in tqdm(files, desc="faces", unit="image"):
            grey = cv2.resize(cv2.imread(str(file)), (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC)
            frame = cv2.copyMakeBorder(grey, *[BORDER] * 4, cv2.BORDER_REPLICATE)
            yield observed(facial.from_frames([(0.0, frame)]))

    keys = (f"{file.parent.name}/{file.name}" for file in files)
    found = cached(cache_file(cache, "face", facial.SCHEMA, keys), extract)
    samples = [
        LabelledSequence(
            values=values,
            score=VALENCE[file.parent.name],
            label=file.parent.name,
            corpus="ck",
            split=subject_split(subject),
            person=f"ck_{subject}",
        )
        for values, file in zip(found, files, strict=True)
        if len(values) and (subject := file.name.split("_")[0])
    ]
    log.info("faces: found in %d of %d images", len(samples), len(files))
    return samples


def read_talking(data: Path, cache: Path) -> list[LabelledSequence]:
    """Real people talking plainly, for the dynamics of mouth and eyes and as neutral faces."""

    def extract() -> Iterator[np.ndarray]:
        for name in tqdm(TALKING_CLIPS, desc="talking", unit="clip"):
            frames = probe.decode_frames(data / "clips" / "talking" / f"{name}.mp4", facial.FRAME_RATE)
            yield observed(facial.from_frames(frames))

    found = cached(cache_file(cache, "talking", facial.SCHEMA, TALKING_CLIPS), extract)
    return [
        LabelledSequence(values=values, score=0.0, label="talking", corpus="talking", split="train", person=name)
        for name, values in zip(TALKING_CLIPS, found, strict=True)
    ]


def observed(features: ModalityFeatures) -> np.ndarray:
    """The valid steps of a modality."""
    return features.values[features.valid]


def subject_split(subject: str) -> str:
    """The split of a CK+ subject, by hash of the name."""
    place = int(hashlib.sha256(subject.encode()).hexdigest(), 16) % 1000 / 1000
    if place < SUBJECT_SHARES["test"]:
        return "test"
    return "valid" if place < SUBJECT_SHARES["test"] + SUBJECT_SHARES["valid"] else "train"
