"""All real clips, through the corpus command once: 27 files of other people's making."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from extractors.messages import Message
from extractors.schema import MODALITY_NAMES
from extractors.storage.feature_files import load
from tests.extractors.support.processes import PATIENCE
from tests.paths import ROOT

CLIPS = ROOT.parent / "shared" / "data" / "clips"
SILENT = {
    "expressive/liveportrait_d0.mp4": "no audio stream",
    "expressive/liveportrait_d5.mp4": "the sound is silent",
    "expressive/mead_disgusted_silent.mp4": "the sound is silent",
    "expressive/mead_fear_silent.mp4": "no audio stream",
    "expressive/mead_sad_silent.mp4": "the sound is silent",
    "expressive/mead_surprised_silent.mp4": "the sound is silent",
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MOST_ERRORS = 0.4  # of the words of a sentence, on average: "bin blue at F two now" is no usual English

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not here"),
]


def words_of(text):
    """Lower-case words, digits spelt out: "F2" is "f two"."""
    spelt = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text.lower())
    return re.findall(r"[a-z']+", spelt)


def word_errors(spoken, recognised):
    """Edit distance over the number of words spoken."""
    row = np.arange(len(recognised) + 1)
    for index, word in enumerate(spoken, start=1):
        before, row = row, np.full(len(recognised) + 1, index)
        for place, other in enumerate(recognised, start=1):
            row[place] = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (word != other))
    return row[-1] / len(spoken)


@pytest.fixture(scope="module")
def listed():
    """Rows of the clips' own list by name."""
    with (CLIPS / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return {row["path"].removeprefix("clips/"): row for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Extracted features by name."""
    out = tmp_path_factory.mktemp("real")
    command = [sys.executable, "-m", "extractors.corpus", str(CLIPS), "--out", str(out), "--workers", "2"]
    done = subprocess.run(
        [*command, "--timeout", str(PATIENCE)], cwd=ROOT, capture_output=True, text=True, timeout=4 * PATIENCE
    )
    assert done.returncode == 0, done.stderr
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert failures == []
    with (out / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return {row["video"]: load(out / row["features"]) for row in csv.DictReader(stream)}


def test_word_errors_are_counted():
    assert words_of("Bin blue, at F2 now.") == ["bin", "blue", "at", "f", "two", "now"]
    assert word_errors(["a", "b", "c"], ["a", "c", "d"]) == pytest.approx(2 / 3)
    assert word_errors(["a"], []) == 1 and word_errors(["a", "b"], ["a", "b"]) == 0


def test_every_clip_has_its_features(listed, found):
    assert len(found) == 27 and set(found) == set(listed)
    for name, features in found.items():
        assert features.video.absent is None, name
        for modality in MODALITY_NAMES:
            part = features.modality(modality)
            assert part.absent is not None or part.valid.any(), (name, modality)
            assert (part.end <= features.duration + 1e-6).all(), (name, modality)
        assert [word.start for word in features.words] == sorted(word.start for word in features.words), name


def test_silent_clips_are_reported(found):
    absent = {name: str(features.audio.absent) for name, features in found.items() if features.audio.absent is not None}
    assert absent == SILENT
    for name in SILENT:
        assert found[name].language.absent == Message("no_speech") and found[name].transcript_source == "none"
        assert found[name].words == ()


def test_speech_is_recognised(listed, found):
    talking = [name for name in found if name.startswith(("talking/", "grid/"))]
    assert len(talking) == 17
    for name in talking:
        features = found[name]
        assert features.transcript_source == "recognised" and features.language.valid.all(), name
        activity = next(track for track in features.tracks if track.name == "voice activity")
        assert activity.values.mean() > 0.3, name


def test_known_sentences_are_recognised(listed, found):
    spoken = {name: row["transcript"] for name, row in listed.items() if row["transcript"]}
    assert len(spoken) == 11 and all(name.startswith("grid/") for name in spoken)
    errors = {
        name: word_errors(words_of(text), words_of(" ".join(word.text for word in found[name].words)))
        for name, text in spoken.items()
    }
    assert np.mean(list(errors.values())) <= MOST_ERRORS, errors
