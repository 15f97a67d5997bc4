"""Outlines of faces: points of MediaPipe's mesh where the face shows them, turned with the image."""

from __future__ import annotations

import numpy as np
import pytest
from mediapipe.tasks.python.vision import FaceLandmarksConnections

from extractors.schema import FACE_BOX, MAX_OUTLINE_POINTS
from extractors.vision import outline
from extractors.vision.facial import read
from tests.extractors.support.clips import face, grey
from tests.extractors.vision.test_facial import shown
from tests.extractors.vision.test_landmarks import curve
from tests.extractors.vision.test_turning import RATE, sample

MEDIAPIPE = {
    "oval": "FACE_OVAL",
    "left brow": "LEFT_EYEBROW",
    "right brow": "RIGHT_EYEBROW",
    "left eye": "LEFT_EYE",
    "right eye": "RIGHT_EYE",
    "lips": "LIPS",
    "bridge of the nose": "NOSE",
    "base of the nose": "NOSE",
}


@pytest.mark.parametrize("name", outline.MESH_LINES)
def test_every_line_lies_on_mediapipes_own(name):
    edges = getattr(FaceLandmarksConnections, f"FACE_LANDMARKS_{MEDIAPIPE[name]}")
    assert set(outline.MESH_LINES[name]) <= {point for edge in edges for point in (edge.start, edge.end)}


def test_the_lines_name_all_points():
    assert len(outline.MESH_POINTS) == 60 <= MAX_OUTLINE_POINTS
    assert {place for line in outline.LINES for place in line} == set(range(60))
    for places, points in zip(outline.LINES, outline.MESH_LINES.values(), strict=True):
        assert [outline.MESH_POINTS[place] for place in places] == list(points)


def test_shares_are_of_the_box_that_holds_the_whole_mesh():
    mesh = np.random.default_rng(0).uniform(20, 80, (478, 2))
    mesh[1], mesh[2] = (0, 0), (100, 200)
    assert np.allclose(outline.of_mesh(mesh)[0], mesh[10] / (100, 200) * 255, atol=0.51)
    assert not outline.of_mesh(np.zeros((478, 2))).any(), "a face without an extent"


def place(video, frame, name):
    """Middle of a line in a frame, in shares of the image."""
    x, y, width, height = (curve(video, track)[frame] for track in FACE_BOX)
    points = video.outlines[frame, list(outline.LINES[list(outline.MESH_LINES).index(name)])] / outline.STEPS
    return (points * (width, height) + (x, y)).mean(axis=0)


def test_a_face_that_is_not_there_has_no_outline_and_the_others_look_like_one():
    video = read(shown(face(), grey(0, width=512, height=512), face()))
    assert video.outlines.shape == (3, 60, 2) and video.outlines.dtype == np.uint8
    assert not video.outlines[1].any()
    brow, eye, nose, lips = (place(video, 0, name) for name in ("right brow", "right eye", "base of the nose", "lips"))
    assert brow[1] < eye[1] < nose[1] < lips[1]
    assert eye[0] < nose[0] < place(video, 0, "left eye")[0], "the person's right is the image's left"


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_outline_is_turned_back_with_the_box(quarters):
    upright, askew = read(sample("neutral.webm"), RATE), read(sample("neutral.webm", quarters=quarters), RATE)
    for name in outline.MESH_LINES:
        x, y = place(upright, 0, name)
        for _ in range(quarters):  # clockwise
            x, y = 1 - y, x
        assert place(askew, 0, name) == pytest.approx([x, y], abs=0.01)


def test_turning_four_times_gives_the_outline_back():
    points = np.random.default_rng(0).integers(0, 256, (60, 2)).astype(np.uint8)
    assert np.array_equal(outline.turned(points, 4), points)
    assert np.array_equal(outline.turned(outline.turned(points, 1), -1), points)
    assert outline.turned(points, 3).dtype == np.uint8
