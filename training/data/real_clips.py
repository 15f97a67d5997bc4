"""Clips of real people, none of them a training clip, with features of the app's extractors, kept in a cache."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from extractors import pipeline
from extractors.language import text_encoder, word_features
from extractors.language import transcript as transcripts
from extractors.schema import ClipFeatures, FeatureSet, Word
from extractors.storage.cache import Cache
from training.data.datasets import sha256

# Emotions as file names give them ("mead_sad_silent"), and the sign of the score that fits; None where none does.
EMOTION_SIGNS = {"disgusted": -1, "fear": -1, "sad": -1, "angry": -1, "happy": 1, "surprised": None, "neutral": 0}


@dataclass(frozen=True, kw_only=True)
class RealClip:
    """One clip.

    Attributes:
        name: Its path under `clips/`, without the ending.
        said: The true transcript; None where it is not known.
        emotion: A key of `EMOTION_SIGNS` from the file's name; None without one.
        features: As the app extracts them, its words recognised.
    """

    name: str
    said: str | None
    emotion: str | None
    features: ClipFeatures

    @property
    def kind(self) -> str:
        """Folder of the clip: "grid", "talking", "expressive"."""
        return self.name.split("/")[0]

    def with_true_words(self, *, encoder: str) -> ClipFeatures:
        """The features with the true transcript in place of the recognised one, corrected as a user would."""
        if self.said is None:
            return self.features
        words = transcripts.edit(self.features.words, self.said, duration=self.features.duration)
        return spoken(self.features, words, encoder=encoder)


def spoken(features: ClipFeatures, words: tuple[Word, ...], *, encoder: str) -> ClipFeatures:
    """The same voice and face with other words, or with the words' states of another encoder."""
    schema = replace(features.schema, language=text_encoder.schema(encoder))
    return replace(features, words=words, language=word_features.from_words(words, encoder=encoder), schema=schema)


def read(data: Path, cache: Path, *, encoder: str, feature_set: FeatureSet) -> Iterator[RealClip]:
    """Every clip of `clips/manifest.csv`.

    Voice, face and words are cached once for all encoders; only the words' states are made anew.

    Args:
        data: Folder with clips/.
        cache: Folder that keeps the features.
        encoder: As in `extractors.pipeline.extract`.
        feature_set: As there.
    """
    with (data / "clips" / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = Cache(cache)
    for row in tqdm(rows, desc="clips", unit="clip"):
        found = pipeline.extract(data / row["path"], cache=kept, feature_set=feature_set)
        parts = Path(row["path"]).stem.split("_")
        yield RealClip(
            name=str(Path(row["path"]).relative_to("clips").with_suffix("")),
            said=row["transcript"] or None,
            emotion=next((part for part in parts if part in EMOTION_SIGNS), None),
            features=spoken(found, found.words, encoder=encoder),
        )


def hashes(data: Path) -> dict[str, str]:
    """SHA-256 of the list of clips and of every clip on it."""
    manifest = data / "clips" / "manifest.csv"
    with manifest.open(newline="", encoding="utf-8") as file:
        paths = [Path("clips/manifest.csv"), *(Path(row["path"]) for row in csv.DictReader(file))]
    return {str(path): sha256(data / path) for path in paths}
