"""Pictures that lie on their side or upside down are turned, upright ones never are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from extractors.media.probe import decode_frames
from extractors.messages import Message
from extractors.vision.facial import BLENDSHAPES, read
from extractors.vision.landmarks import Box
from tests.extractors.support.clips import face, grey
from tests.extractors.vision.test_landmarks import curve, scene, shown
from tests.paths import SAMPLES

RATE = 2.0  # frames per second
SMILE = BLENDSHAPES.index("mouthSmileLeft")


def sample(name, *, quarters=0, frames=4):
    """Some frames of a sample, turned clockwise by quarters."""
    found = itertools.islice(decode_frames(SAMPLES / name, RATE), frames)
    return [(second, np.ascontiguousarray(np.rot90(image, -quarters))) for second, image in found]


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("name", ["neutral.webm", "positive.webm"])
def test_a_picture_that_lies_askew_is_turned_and_noted(name, quarters):
    upright, askew = read(sample(name), RATE), read(sample(name, quarters=quarters), RATE)
    assert upright.notes == ()
    assert askew.notes == (Message("video_turned", {"degrees": 360 - 90 * quarters}),)
    assert askew.features.valid.all()
    assert np.abs(askew.features.values - upright.features.values).max() < 0.01


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_box_stays_where_the_face_is_in_the_picture_as_it_was(quarters):
    x, y, width, height = (
        curve(read(sample("neutral.webm", quarters=quarters), RATE), f"face {name}")[0]
        for name in ("x", "y", "width", "height")
    )
    upright = read(sample("neutral.webm"), RATE)
    box = Box(**{name: curve(upright, f"face {name}")[0] for name in ("x", "y", "width", "height")})
    expected = box.turned(-quarters, 1.0, 1.0)
    assert np.allclose([x, y, width, height], [expected.x, expected.y, expected.width, expected.height], atol=0.01)


def test_a_face_askew_that_comes_late_is_turned_too():
    empty, askew = grey(90, width=512, height=512), np.ascontiguousarray(face()[::-1, ::-1])
    result = read(shown(*[empty] * 3, *[askew] * 4, rate=RATE), RATE)
    assert result.features.valid.tolist() == [False] * 3 + [True] * 4
    assert (result.features.values[3:, SMILE] > 0.3).all()


def test_small_heads_tilted_heads_and_empty_pictures_are_left_as_they_are():
    tilted = np.ascontiguousarray(face())
    for frames in ([scene((100, 300, 100))] * 4, [tilted] * 4, [grey(90)] * 4):
        assert "video_turned" not in [note.code for note in read(shown(*frames, rate=RATE), RATE).notes]


def test_one_face_lying_down_is_counted_once():
    """Read as it lies, parts of this face pass for up to three faces."""
    askew = [(second, image) for second, image in sample("no-sound.webm", quarters=1, frames=6)]
    assert "several_faces" not in [note.code for note in read(askew, RATE).notes]


def test_frames_that_can_be_iterated_once_are_turned_as_well():
    once = iter(sample("neutral.webm", quarters=2))
    assert [note.code for note in read(once, RATE).notes] == ["video_turned"]


def test_turning_a_box_four_times_gives_it_back():
    box = Box(x=10.0, y=20.0, width=30.0, height=40.0)
    assert box.turned(4, 200.0, 100.0) == box
    assert box.turned(1, 200.0, 100.0) == Box(x=20.0, y=160.0, width=40.0, height=30.0)
    assert box.turned(1, 200.0, 100.0).turned(-1, 100.0, 200.0) == box
