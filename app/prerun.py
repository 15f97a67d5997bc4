"""Features of the shipped samples, made beforehand, so that a sample shows its result at once.

`python -m app.prerun` makes them (some seconds a sample). Scores are no part of them: those come from the checkpoint
that is loaded. What was made from other bytes, or for a checkpoint of another schema, is stale and not used.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extractors import store
from extractors.schema import ClipFeatures

SAMPLES = Path(__file__).with_name("samples")
COMMAND = "python -m app.prerun"


class StaleError(ValueError):
    """What was made beforehand does not fit any more; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A shipped clip, as samples.json tells of it."""

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
        """Where the clip lies."""
        return SAMPLES / self.file

    @property
    def features_path(self) -> Path:
        """Where its features lie."""
        return SAMPLES / f"{self.name}{store.SUFFIX}"


def samples() -> list[Sample]:
    """Return the shipped samples in their order."""
    listing = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    return [Sample(**entry) for entry in listing]


def load(sample: Sample, *, schema: Mapping[str, Any]) -> ClipFeatures:
    """Return a sample's features.

    Args:
        sample: Any of `samples`.
        schema: What the checkpoint was trained on.

    Raises:
        StaleError: If there are none, or none that fit the clip and the schema.
    """
    path = sample.features_path
    try:
        made_from = store.read_origin(path).get("clip_sha256")
        if made_from != _sha256(sample.path):
            raise StaleError(f"{path.name} was made from another {sample.file}; run {COMMAND}")
        features = store.load(path)
    except (FileNotFoundError, store.StoreError) as error:
        raise StaleError(f"{path.name} cannot be used ({error}); run {COMMAND}") from error
    if features.schema.to_dict() != schema:
        raise StaleError(f"{path.name} was made for another checkpoint; run {COMMAND}")
    return features


def make() -> None:
    """Extract every sample anew, for the checkpoint that the app loads."""
    from alignmamba.predictor import Predictor
    from app.state import CHECKPOINT
    from extractors.isolate import extract

    predictor = Predictor.from_pretrained(CHECKPOINT)
    for sample in samples():
        features = extract(sample.path, encoder=predictor.encoder)
        store.save(features, sample.features_path, origin={"clip_sha256": _sha256(sample.path), "command": COMMAND})
        load(sample, schema=predictor.schema)
        print(f"{sample.features_path.name}: {sum(features.step_seconds.values()):.1f} s of work")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(make())
