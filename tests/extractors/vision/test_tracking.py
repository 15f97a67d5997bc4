from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from extractors.media.probe import decode_frames
from extractors.messages import Message
from extractors.vision import outline
from extractors.vision.facial import read
from extractors.vision.landmarks import Box, Face
from extractors.vision.tracking import _best_path, followed
from tests.extractors.support.clips import grey
from tests.extractors.vision.test_landmarks import curve, scene, shown
from tests.paths import SAMPLES

RATE = 10.0  # frames per second
LARGE, SMALL = 200.0, 150.0  # pixels


def one(side, *, mouth=0.0, left=0.0):
    box = Box(x=left, y=0.0, width=side, height=side)
    return Face(
        box=box,
        blendshapes=(0.0,) * 52,
        matrix=np.eye(4),
        mouth=mouth,
        anchors=np.zeros((3, 2)),
        outline=outline.none(),
    )


def talk(frame):
    """Lips that open and close three times a second."""
    return 0.05 * np.sin(2 * np.pi * 3 * frame / RATE) ** 2


def who(views):
    """The side of the box of the face that is followed, 0 where there is none."""
    return np.array([0.0 if face is None else face.box.side for face in followed(views, RATE)])


def test_the_largest_is_followed_where_nobody_speaks():
    assert (who([{0: one(SMALL), 1: one(LARGE)}] * 30) == LARGE).all()


def test_who_speaks_is_followed_though_another_is_larger():
    views = [{0: one(LARGE), 1: one(SMALL, mouth=talk(frame))} for frame in range(30)]
    assert (who(views) == SMALL).all()


def test_speakers_take_turns():
    silent = [lambda _: 0.0] * 2
    turns = [0] * 50 + [1] * 40 + [0] * 50
    views = []
    for frame, speaker in enumerate(turns):
        mouths = list(silent)
        mouths[speaker] = talk
        views.append({0: one(LARGE, mouth=mouths[0](frame)), 1: one(SMALL, mouth=mouths[1](frame))})
    expected = np.where(np.array(turns) == 0, LARGE, SMALL)
    wrong = np.flatnonzero(who(views) != expected)
    assert all(min(abs(frame - 50), abs(frame - 90)) <= 5 for frame in wrong)  # half a second around a change


def test_an_interjection_changes_nothing():
    views = [
        {0: one(SMALL, mouth=talk(frame)), 1: one(LARGE, mouth=talk(frame) if 30 <= frame < 38 else 0.0)}
        for frame in range(80)
    ]
    assert (who(views) == SMALL).all()


def test_a_short_absence_changes_nothing():
    views = [{0: one(LARGE, mouth=talk(frame)), 1: one(SMALL)} for frame in range(60)]
    for frame in range(20, 24):
        del views[frame][0]
    sides = who(views)
    assert (sides[20:24] == 0).all() and (np.delete(sides, range(20, 24)) == LARGE).all()


def test_another_takes_over_from_who_has_left():
    views = [{0: one(LARGE, mouth=talk(frame)), 1: one(SMALL)} for frame in range(60)]
    for view in views[40:]:
        del view[0]
    assert (who(views) == [LARGE] * 40 + [SMALL] * 20).all()


def test_one_at_a_time_is_no_choice():
    views = [{0: one(LARGE)}, {}, {1: one(SMALL)}, {2: one(LARGE)}]
    assert who(views).tolist() == [LARGE, 0, SMALL, LARGE]
    assert followed([], RATE) == [] and followed([{}, {}], RATE) == [None, None]


@settings(deadline=None)
@given(arrays.arrays(float, (5, 3), elements=st.floats(-1, 1)), st.floats(0, 2))
def test_no_path_earns_more_than_the_best(points, change):
    def earned(path):
        moves = sum(here != there for here, there in itertools.pairwise(path))
        return points[range(5), list(path)].sum() - change * moves

    best = max(earned(path) for path in itertools.product(range(3), repeat=5))
    assert earned(_best_path(points, change)) == pytest.approx(best)


def portraits(name, frames):
    """Heads of a sample clip, 480 x 480, their face 190 pixels wide."""
    return [frame for _, frame in itertools.islice(decode_frames(SAMPLES / name, RATE), 5, 5 + frames)]


def pair(left, right):
    """Two heads in a 720p frame: the left face about 175 pixels wide, the right one about 245."""
    frame = grey(90, width=1280, height=720)
    for head, side, x in ((left, 440, 20), (right, 620, 640)):
        frame[80 : 80 + side, x : x + side] = cv2.resize(head, (side, side))
    return frame


@pytest.mark.parametrize(("speaking", "silent"), [("neutral.webm", "no-sound.webm"), ("positive.webm", "neutral.webm")])
def test_a_small_portrait_that_speaks_is_followed_before_a_large_silent_one(speaking, silent):
    """The silent one of the second pair is a still frame."""
    speakers = portraits(speaking, 20)
    others = portraits(silent, 20) if silent == "no-sound.webm" else portraits(silent, 1) * 20
    result = read(shown(*[pair(*heads) for heads in zip(speakers, others, strict=True)]))
    assert result.features.valid.all()
    assert (curve(result, "face x") < 0.5).all()
    assert result.notes == (Message("several_faces", {"count": 2}),)
    still = read(shown(*[pair(speakers[0], others[0])] * 20))
    assert (curve(still, "face x") > 0.5).all()  # where nobody speaks, the larger


def test_a_face_that_leaves_is_not_followed_where_another_stays():
    both, small = scene((150, 0, 0), (190, 620, 0)), scene((150, 0, 0))
    result = read(shown(*[both] * 3, *[small] * 10, *[both] * 3))
    assert (curve(result, "face x") < 0.5).all() and result.features.valid.all()


def test_the_larger_face_is_followed_through_a_short_absence():
    both, small = scene((150, 0, 0), (230, 560, 0)), scene((150, 0, 0))
    x = curve(read(shown(*[both] * 20, *[small] * 2, *[both] * 20)), "face x")
    assert np.isnan(x[20:22]).all() and (np.delete(x, [20, 21]) > 0.5).all()


def test_two_small_faces_are_distinguished():
    result = read(shown(*[scene((64, 100, 100), (72, 700, 300))] * 6))
    assert result.features.valid.all() and (curve(result, "face x") > 0.5).all()
    assert result.notes == (Message("several_faces", {"count": 2}),)
    assert np.allclose(curve(result, "face width"), 72 / 1280, atol=0.01)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.booleans(), min_size=1, max_size=8), st.sampled_from([2.0, 5.0, 10.0, 25.0]))
def test_a_step_is_valid_where_there_is_a_face(faces, rate):
    frames = {True: scene((200, 300, 0)), False: grey(90, width=1280, height=720)}
    features = read(shown(*[frames[there] for there in faces], rate=rate), rate).features
    assert features.valid.tolist() == faces
    assert (features.values.any(axis=1) == features.valid).all()
    assert np.allclose(features.start, np.arange(len(faces)) / rate) and (np.diff(features.start) > 0).all()
    assert (features.absent is None) == any(faces)
