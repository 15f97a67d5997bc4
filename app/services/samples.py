"""The shipped samples and their precomputed features, so that a sample shows its result at once.

`python -m app.services.samples` computes the features (some seconds a sample). They hold no scores: those come from the
loaded checkpoint. Features of other bytes, or for a checkpoint with another schema, are stale and not used.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.i18n.translate import _
from app.services import model, upload
from app.services.analysis import Analysis, Clip, nothing_known, predict_all
from app.services.errors import PlainError
from extractors.schema import ClipFeatures
from extractors.storage import feature_files

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
COMMAND = "python -m app.services.samples"


class StaleError(ValueError):
    """Precomputed features do not fit the clip or the checkpoint; the message says why."""


@dataclass(frozen=True, kw_only=True)
class DemoClip:
    """A shipped clip: an entry of samples.json."""

    file: str
    title: str
    description: str
    transcript: str | None
    synthetic: bool
    credit: str

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return Path(self.file).stem

    @property
    def path(self) -> Path:
        """Path of the clip."""
        return SAMPLES / self.file

    @property
    def features_path(self) -> Path:
        """Path of its precomputed features."""
        return SAMPLES / f"{self.name}{feature_files.SUFFIX}"


def listed() -> list[DemoClip]:
    """Return the shipped samples in their order."""
    listing = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    return [DemoClip(**entry) for entry in listing]


def load(sample: DemoClip, *, schema: Mapping[str, Any]) -> ClipFeatures:
    """Return a sample's features.

    Args:
        sample: One of `listed`.
        schema: Of the features that the checkpoint was trained on.

    Raises:
        StaleError: If there are none, or none that fit the clip and the schema.
    """
    path = sample.features_path
    try:
        made_from = feature_files.read_origin(path).get("clip_sha256")
        if made_from != _sha256(sample.path):
            raise StaleError(f"{path.name} was computed from another {sample.file}; run {COMMAND}")
        features = feature_files.load(path)
    except (FileNotFoundError, feature_files.FeatureFileError) as error:
        raise StaleError(f"{path.name} cannot be used ({error}); run {COMMAND}") from error
    if features.schema.to_dict() != schema:
        raise StaleError(f"{path.name} was computed for another checkpoint; run {COMMAND}")
    return features


@st.cache_data(show_spinner=False)
def shipped() -> list[DemoClip]:
    """Return the shipped samples in their order, read once."""
    return listed()


def of_sample(sample: DemoClip) -> Clip:
    """Make a clip of a sample."""
    return Clip(
        title=sample.title,
        data=sample.path.read_bytes(),
        mime=upload.media_type(sample.file),
        synthetic=sample.synthetic,
        sample=sample.name,
    )


@st.cache_resource(show_spinner=False)
def _known(sample: str) -> dict[str, dict[Any, Any]]:
    """Return what was computed of a sample, which all sessions share: features and model are the same for each."""
    return nothing_known()


def precomputed(sample: DemoClip) -> Analysis:
    """Predict from the precomputed features of a sample.

    Raises:
        StaleError: If they do not fit.
        PlainError: As `predict_all`.
    """
    began = time.perf_counter()
    features = load(sample, schema=model.default().schema)
    return predict_all(of_sample(sample), features, began=began, reused=True, known=_known(sample.name))


def analysed(sample: DemoClip) -> Analysis:
    """Predict from the precomputed features of a sample, for pages that cannot extract.

    Raises:
        PlainError: If they do not fit; the page *Analyse* can extract them again.
    """
    try:
        return precomputed(sample)
    except StaleError as error:
        raise PlainError(
            _("The precomputed features of this sample do not fit the loaded model. Analyse it first.")
        ) from error


def make() -> None:
    """Extract the features of every sample again, for the checkpoint that the app loads."""
    from alignmamba.predictor import Predictor
    from extractors.storage.config import feature_set_of
    from extractors.workers.client import extract

    predictor = Predictor.from_pretrained(model.CHECKPOINT)
    for sample in listed():
        features = extract(sample.path, encoder=predictor.encoder, feature_set=feature_set_of(predictor.schema))
        feature_files.save(
            features, sample.features_path, origin={"clip_sha256": _sha256(sample.path), "command": COMMAND}
        )
        load(sample, schema=predictor.schema)
        print(f"{sample.features_path.name}: {sum(features.step_seconds.values()):.1f} s of work")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(make())
