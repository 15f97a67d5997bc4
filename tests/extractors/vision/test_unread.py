"""Why no face is read is told: turned away, in the dark, overexposed, too small; what is read today stays read."""

from __future__ import annotations

import numpy as np
import pytest

from extractors.vision.facial import read
from extractors.vision.unread import NOTED_SHARE, notes
from tests.extractors.support.clips import face, grey
from tests.extractors.vision import heads
from tests.extractors.vision.test_covering import codes, sample
from tests.extractors.vision.test_landmarks import scene, shown

RATE = 5.0  # frames per second


def still(image, *, frames=6):
    return read(shown(*[image] * frames, rate=RATE), RATE)


def lit(factor, offset=0):
    return np.clip(face().astype(float) * factor + offset, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("degrees", [45, 60, 75])
@pytest.mark.parametrize("name", ["portrait", "positive.webm"])
def test_a_profile_is_read_or_told(name, degrees):
    image = face() if name == "portrait" else sample(name, frames=3)[2]
    result = still(heads.turned(image, degrees))
    told = {"face_turned_away", "face_unclear"} & set(codes(result))
    assert result.features.valid.all() != bool(told)
    assert "mouth_covered_noted" not in codes(result)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (lit(0.015), "face_in_the_dark"),
        (lit(1.0, 235), "face_overexposed"),
        (scene((30, 300, 200)), "face_small"),
    ],
    ids=["dark", "overexposed", "small"],
)
def test_what_is_not_read_is_told(image, code):
    result = still(image)
    assert result.features.absent is not None
    assert [(note.code, note.values["share"]) for note in result.notes] == [(code, 100)]


@pytest.mark.parametrize(
    "image",
    [lit(0.3), lit(0.1), lit(1.0, 60), lit(1.0, 120), scene((48, 300, 200))],
    ids=["dim", "dark", "bright", "overexposed", "48 pixels"],
)
def test_what_was_read_stays_read(image):
    result = still(image)
    assert result.features.valid.all() and result.notes == ()


def test_a_face_that_is_away_for_long_is_told_and_one_away_for_a_moment_is_not():
    empty = grey(90, width=512, height=512)
    away = read(shown(*[face()] * 8, *[empty] * 8, rate=RATE), RATE)
    assert codes(away) == ["face_not_always_there"] and away.notes[0].values["share"] == 50
    assert codes(read(shown(*[face()] * 8, *[empty] * 2, rate=RATE), RATE)) == []


def test_reasons_are_told_with_their_shares_the_most_frequent_first():
    reasons = [None] * 70 + ["dark"] * 10 + ["turned_away"] * 20
    found = [(note.code, note.values["share"]) for note in notes(reasons)]
    assert found == [("face_turned_away", 20), ("face_in_the_dark", 10)]
    few = round(NOTED_SHARE * 100) - 1
    assert notes([None] * (100 - few) + ["dark"] * few) == ()
    assert notes(["nobody"] * 100) == ()  # "no face found" is the reason of absence
    assert notes([]) == ()
