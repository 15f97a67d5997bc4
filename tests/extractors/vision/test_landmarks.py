from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.transform import resize

from extractors.vision.facial import BLENDSHAPES, read, schema
from extractors.vision.landmarks import Box, _offsets
from tests.extractors.support.clips import face, grey

WIDTH, HEIGHT = 1280, 720
PORTRAIT_FACE = 137.2 / 720  # width of the portrait's face, in widths of the portrait


def scene(*faces):
    """A grey 720p frame with portraits: (width of the face in pixels, left edge of the portrait, top edge)."""
    frame = grey(90, width=WIDTH, height=HEIGHT)
    for width, left, top in faces:
        side = round(width / PORTRAIT_FACE)
        small = (255 * resize(face(), (side, side), anti_aliasing=True)).astype(np.uint8)
        part = frame[top : top + side, left : left + side]
        part[:] = small[: part.shape[0], : part.shape[1]]
    return frame


def shown(*frames, rate=10.0):
    return [(index / rate, frame) for index, frame in enumerate(frames)]


def curve(result, name):
    return next(track.values for track in result.tracks if track.name == name)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (700, 330), (900, 380), (333, 111)])
def test_a_face_of_a_twentieth_of_the_width_is_found(left, top):
    result = read(shown(*[scene((64, left, top))] * 4))
    assert result.features.valid.all()
    assert np.allclose(curve(result, "face width"), 0.05, atol=0.01)
    smile = result.features.values[:, BLENDSHAPES.index("mouthSmileLeft")]
    assert (smile > 0.3).all()
    assert result.notes == ()


def test_the_window_goes_with_a_small_face():
    result = read(shown(*[scene((64, 300 + 25 * step, 200)) for step in range(8)]))
    assert result.features.valid.all()
    assert np.allclose(np.diff(curve(result, "face x")), 25 / WIDTH, atol=0.006)


def test_the_box_is_where_the_face_is():
    result = read(shown(scene((137, 300, 0))))
    x, y, width, height = (curve(result, f"face {name}")[0] for name in ("x", "y", "width", "height"))
    assert width == pytest.approx(137 / WIDTH, abs=0.01)
    assert 300 < x * WIDTH < x * WIDTH + width * WIDTH < 1020
    assert 0 < y < y + height < 0.5
    empty = read(shown(scene((137, 300, 0)), grey(90, width=WIDTH, height=HEIGHT)))
    assert np.isnan(curve(empty, "face x")).tolist() == [False, True]


def test_after_a_cut_the_one_face_is_followed_at_once():
    result = read(shown(*[scene((190, 0, 0))] * 3, *[scene((190, 560, 0))] * 4))
    assert result.features.valid.sum() >= 6
    assert curve(result, "face x")[-1] > 0.4
    assert result.notes == ()


def test_frames_per_second_are_chosen():
    result = read(shown(*[face()] * 3, rate=4.0), 4.0)
    assert np.allclose(result.features.end - result.features.start, 0.25)
    assert schema(4.0).rate == 4.0


@pytest.mark.parametrize(("length", "side"), [(1280, 384), (720, 384), (1280, 768), (300, 768), (385, 384)])
def test_tiles_cover_a_length(length, side):
    offsets = _offsets(length, side)
    assert offsets[0] == 0 and offsets[-1] + side >= length
    assert all(later <= earlier + 0.8 * side + 1 for earlier, later in itertools.pairwise(offsets))


def test_near_means_about_here_and_about_as_large():
    box = Box(x=100.0, y=100.0, width=50.0, height=60.0)
    assert box.is_near(Box(x=120.0, y=90.0, width=60.0, height=70.0))
    assert not box.is_near(Box(x=170.0, y=100.0, width=50.0, height=60.0))
    assert not box.is_near(Box(x=100.0, y=100.0, width=150.0, height=160.0))
