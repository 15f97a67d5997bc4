"""The numbers behind `SCHEMA_VERSION`: they must not change without it.

`python -m tests.extractors.test_golden` writes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from extractors import pipeline
from extractors.assets.hashes import file_sha256
from extractors.language.transcript import Transcript, Word
from extractors.schema import MODALITY_NAMES, SCHEMA_VERSION, ClipFeatures
from tests.paths import SAMPLES

SAMPLE = SAMPLES / "positive.webm"
GOLDEN = Path(__file__).with_name("golden.json")
PARTS = 4  # of the clip, each pooled on its own, so that a shift in time shows
COLUMNS = 64  # at most, of each modality
SPOKEN = "What a wonderful day it is and I love it".split()
TOLERANCE = 0.1  # of a column's standard deviation within the clip; processors differ by far less
LEAST = 2e-3  # where a column hardly moves; face columns lie in [0, 1], hidden states around 1


def extracted() -> ClipFeatures:
    words = tuple(Word(text=text, start=index * 0.8, end=index * 0.8 + 0.5) for index, text in enumerate(SPOKEN))
    return pipeline.extract(SAMPLE, Transcript(words=words, source="given"))


def means(features: ClipFeatures, name: str) -> np.ndarray:
    """Mean of each column over each part of the clip."""
    parts = np.array_split(features.modality(name).values[:, :COLUMNS], PARTS)
    return np.stack([part.mean(axis=0, dtype=np.float64) for part in parts])


def numbers(features: ClipFeatures, name: str) -> dict[str, object]:
    found = features.modality(name)
    return {
        "steps": len(found.values),
        "valid": int(found.valid.sum()),
        "span": [round(float(found.start[0]), 4), round(float(found.end[-1]), 4)],
        "means": np.round(means(features, name), 4).tolist(),
    }


@pytest.fixture(scope="module")
def golden():
    kept = json.loads(GOLDEN.read_text())
    assert kept["sample_sha256"] == file_sha256(SAMPLE), "the sample is another: write golden.json anew"
    assert kept["schema_version"] == SCHEMA_VERSION, "SCHEMA_VERSION is another: write golden.json anew"
    return kept


@pytest.fixture(scope="module")
def features():
    return extracted()


@pytest.mark.parametrize("name", MODALITY_NAMES)
def test_numbers_change_with_the_schemas_version_only(golden, features, name):
    rule = f"{name}: features of the same clip have changed: raise SCHEMA_VERSION and write golden.json anew"
    expected, found = golden[name], numbers(features, name)
    assert (found["steps"], found["valid"]) == (expected["steps"], expected["valid"]), rule
    assert found["span"] == pytest.approx(expected["span"], abs=1e-3), rule
    spread = features.modality(name).values[:, :COLUMNS].std(axis=0)
    away = np.abs(means(features, name) - np.array(expected["means"])) / (TOLERANCE * spread + LEAST)
    assert away.max() < 1, f"{rule} (column {away.max(axis=0).argmax()}, {away.max():.1f} times the tolerance)"


def test_a_shift_in_time_would_be_noticed(golden, features):
    """One face frame early, and voice 0.1 s early: what a wrong clock or grid would do."""
    for name in ("audio", "video"):
        values = features.modality(name).values[:, :COLUMNS]
        shifted = np.stack([part.mean(axis=0) for part in np.array_split(values[1:], PARTS)])
        away = np.abs(shifted - np.array(golden[name]["means"])) / (TOLERANCE * values.std(axis=0) + LEAST)
        assert away.max() > 1


if __name__ == "__main__":
    made = extracted()
    parts = {name: numbers(made, name) for name in MODALITY_NAMES}
    about = {"schema_version": SCHEMA_VERSION, "sample_sha256": file_sha256(SAMPLE)}
    GOLDEN.write_text(json.dumps({**about, **parts}) + "\n")
