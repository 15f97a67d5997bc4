"""The benchmark of speakers counts errors as the field does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.speech import speakers
from benchmarks.speech.speakers import error_rate
from extractors.schema import Turn


def talk(*turns: tuple[float, float, str | None]) -> list[Turn]:
    return [Turn(start=float(start), end=float(end), speaker=who) for start, end, who in turns]


TRUTH = talk((0, 10, "a"), (10, 20, "b"))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (talk((0, 10, "2"), (10, 20, "1")), 0.0),
        (talk((0, 20, "1")), 0.5),
        (talk((0, 10, "1")), 0.5),
        ([], 1.0),
        (talk((0, 10, "1"), (10, 15, "2"), (15, 20, None)), 0.25),
        (talk((0, 10, "1"), (10, 20, "2"), (20, 25, "2")), 0.25),
        (talk((0, 5, "1"), (5, 10, "3"), (10, 20, "2")), 0.25),
    ],
)
def test_missed_false_and_confused_speech_count(found, expected):
    assert error_rate(TRUTH, found, collar=0.0) == pytest.approx(expected, abs=0.002)


def test_the_collar_forgives_a_change_that_is_near():
    found = talk((0, 10.2, "1"), (10.2, 20, "2"))
    assert error_rate(TRUTH, found) == 0
    assert error_rate(TRUTH, found, collar=0.0) == pytest.approx(0.01, abs=0.002)


def test_speech_of_two_at_once_counts_twice():
    truth = talk((0, 10, "a"), (5, 10, "b"))
    assert error_rate(truth, talk((0, 10, "1")), collar=0.0) == pytest.approx(1 / 3, abs=0.002)


def test_composed_turns_alternate_and_stay_within_their_clip(monkeypatch):
    monkeypatch.setattr(speakers.speech, "waveform", lambda path: np.full(20_000, 0.1, np.float32))
    people = {
        name: [speakers.Recording(path=name, corpus="c", speaker=name, emotion="sad", split="valid")] for name in "ab"
    }
    for overlapping in (False, True):
        made = speakers.compose(people, speakers.Path(), np.random.default_rng(1), overlapping=overlapping)
        assert [turn.speaker for turn in made.truth] == list("abababab")[: len(made.truth)]
        assert made.truth[-1].end == pytest.approx(len(made.samples) / 16_000, abs=1e-4)
        gaps = [other.start - one.end for one, other in itertools.pairwise(made.truth)]
        assert all((gap < 0) == overlapping for gap in gaps)
