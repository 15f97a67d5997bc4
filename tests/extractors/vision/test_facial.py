from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import rotate

from extractors.messages import Message
from extractors.vision.facial import BLENDSHAPES, FRAME_RATE, SCHEMA, from_frames, head_angles
from extractors.vision.landmarks import landmarker
from tests.extractors.support.clips import face, grey

YAW, PITCH, ROLL = 52, 53, 54


def shown(*frames):
    return [(index / FRAME_RATE, frame) for index, frame in enumerate(frames)]


def blendshape(features, name):
    return features.values[-1, BLENDSHAPES.index(name)]


def test_names_are_mediapipes_own():
    import mediapipe as mp

    with landmarker() as model:
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(face()))
        found = model.detect_for_video(image, 0)
    assert tuple(shape.category_name for shape in found.face_blendshapes[0]) == BLENDSHAPES


def test_a_smiling_portrait():
    features = from_frames(shown(*[face()] * 3))
    assert features.values.shape == (3, SCHEMA.dim)
    assert features.valid.all() and features.absent is None
    assert np.allclose(features.end - features.start, 0.1)
    assert blendshape(features, "mouthSmileLeft") > 0.5
    assert blendshape(features, "mouthFrownLeft") < 0.1
    assert np.abs(features.values[:, [YAW, PITCH, ROLL]]).max() < 0.5


def test_a_frame_without_a_face_stays():
    empty = grey(0, width=512, height=512)
    features = from_frames(shown(face(), empty, empty, face()))
    assert features.valid.tolist() == [True, False, False, True]
    assert not features.values[1:3].any()
    assert np.allclose(features.start, [0, 0.1, 0.2, 0.3])


def test_no_face_and_no_frames():
    assert from_frames(shown(grey(100), grey(100))).absent == Message("no_face")
    assert len(from_frames(shown(grey(100), grey(100))).values) == 2
    assert from_frames([]).absent == Message("no_video_stream")


def test_frames_of_another_clip_leave_no_trace():
    first = from_frames(shown(face(), face()))
    from_frames(shown(np.ascontiguousarray(face()[:, ::-1])))
    assert np.array_equal(from_frames(shown(face(), face())).values, first.values)


def test_roll_follows_the_tilted_head():
    upright = from_frames(shown(face())).values[0, ROLL]
    for degrees in (-20, 20):
        tilted = (255 * rotate(face(), degrees, mode="edge")).astype(np.uint8)  # anticlockwise
        roll = from_frames(shown(tilted)).values[0, ROLL]
        assert roll - upright == pytest.approx(np.radians(degrees), abs=0.08)


def test_a_mirror_swaps_left_and_right():
    straight = from_frames(shown(face()))
    mirrored = from_frames(shown(np.ascontiguousarray(face()[:, ::-1])))
    assert mirrored.values[0, ROLL] == pytest.approx(-straight.values[0, ROLL], abs=0.05)
    assert mirrored.values[0, YAW] == pytest.approx(-straight.values[0, YAW], abs=0.05)
    assert mirrored.values[0, PITCH] == pytest.approx(straight.values[0, PITCH], abs=0.05)


def about(axis, angle):
    """Right-handed rotation about x, y or z."""
    a, b = [(1, 2), (2, 0), (0, 1)]["xyz".index(axis)]
    matrix = np.eye(4)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.1), (-1.2, 0.9, -2.0), (0.5, 0.0, 3.0)])
def test_angles_take_a_rotation_apart(angles):
    yaw, pitch, roll = angles
    matrix = about("y", yaw) @ about("x", -pitch) @ about("z", roll)
    scaled = matrix * 1.7
    assert head_angles(matrix) == pytest.approx(angles)
    assert head_angles(scaled) == pytest.approx(angles)


def test_signs_of_the_angles():
    nose = np.array([0, 0, 1, 0])  # towards the camera
    assert (about("y", 0.3) @ nose)[0] > 0 and head_angles(about("y", 0.3))[0] > 0  # to the frame's right
    assert (about("x", -0.3) @ nose)[1] > 0 and head_angles(about("x", -0.3))[1] > 0  # up
    ear = np.array([1, 0, 0, 0])  # towards the frame's right
    assert (about("z", 0.3) @ ear)[1] > 0 and head_angles(about("z", 0.3))[2] > 0  # up: anticlockwise


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([(0.0, grey(9)), (0.0, grey(9))], "rising by at least 1 ms"),
        ([(0.5, grey(9)), (0.4, grey(9))], "rising by at least 1 ms"),
        ([(0.0, grey(9)[..., :2])], r"expected \(height, width, 3\) uint8"),
        ([(0.0, grey(9).astype(float))], "float64, expected"),
    ],
)
def test_bad_frames_are_named(frames, message):
    with pytest.raises(ValueError, match=message):
        from_frames(iter(frames))
