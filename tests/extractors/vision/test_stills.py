"""Pictures of chosen moments, with the mesh on the face that was followed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from extractors.media.probe import decode_frames
from extractors.messages import Message
from extractors.vision.stills import MESH, SIDE, Moment, quarters_of, stills
from extractors.workers import client
from tests.extractors.support.clips import make_clip
from tests.paths import SAMPLES

BOX = (0.3, 0.2, 0.4, 0.5)  # about where the sample's face is


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(float)


def greenness(frame: np.ndarray) -> float:
    """How far the frame leans towards the mesh's colour."""
    return float((frame[:, :, 1] - frame[:, :, 0] / 2 - frame[:, :, 2] / 2).mean())


def test_the_mesh_lies_on_the_face_and_only_where_one_was_found():
    moments = [Moment(second=0.5, box=BOX), Moment(second=1.0, box=None)]
    with_mesh, without = (decoded(still) for still in stills(SAMPLES / "positive.webm", moments))
    assert with_mesh.shape == without.shape == (SIDE, SIDE, 3)
    assert greenness(with_mesh) > greenness(without) + 4
    assert MESH[1] == max(MESH), "green is what the test looks for"


def test_a_still_shows_its_moment():
    seconds = [0.0, 2.0, 4.0]
    found = [
        decoded(still) for still in stills(SAMPLES / "no-face.webm", [Moment(second=s, box=None) for s in seconds])
    ]
    frames = dict(decode_frames(SAMPLES / "no-face.webm", 10.0))
    for second, still in zip(seconds, found, strict=True):
        nearest = min(frames, key=lambda moment: abs(moment - second))
        expected = cv2.resize(frames[nearest], (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(still - expected).mean() < 6


def test_a_still_of_a_clip_that_lies_askew_is_upright(tmp_path):
    frames = [image for _, image in decode_frames(SAMPLES / "positive.webm", 2.0)][:3]
    askew = make_clip(
        tmp_path / "askew.mkv",
        frames=[(index / 2, np.ascontiguousarray(image[::-1, ::-1])) for index, image in enumerate(frames)],
    )
    quarters = quarters_of([Message("several_faces", {"count": 2}), Message("video_turned", {"degrees": 180})])
    assert quarters == 2 and quarters_of([]) == 0 and quarters_of([Message("video_turned", {"degrees": 90})]) == 3
    x, y, width, height = BOX
    moment = Moment(second=0.5, box=(1 - x - width, 1 - y - height, width, height), quarters=quarters)
    upright = Moment(second=0.5, box=BOX)
    (found,), (expected,) = stills(askew, [moment], rate=2.0), stills(SAMPLES / "positive.webm", [upright], rate=2.0)
    assert np.abs(decoded(found) - decoded(expected)).mean() < 8


def test_a_process_of_its_own_gives_the_same_and_a_clip_that_ends_gives_fewer():
    moments = [Moment(second=1.0, box=BOX), Moment(second=90.0, box=None)]
    there = client.stills(SAMPLES / "positive.webm", moments)
    assert there == list(stills(SAMPLES / "positive.webm", moments))
    assert len(there) == 1


@pytest.mark.parametrize("seconds", [[1.0, 1.0], [2.0, 1.0], [float(s) for s in range(13)]])
def test_moments_rise_and_are_few(seconds):
    with pytest.raises(ValueError, match="moments"):
        list(stills(SAMPLES / "positive.webm", [Moment(second=second, box=None) for second in seconds]))


@pytest.mark.parametrize(("second", "box"), [(-1.0, None), (float("nan"), None), (0.0, (0.0, float("inf"), 1.0, 1.0))])
def test_a_moment_is_finite(second, box):
    with pytest.raises(ValueError, match="expected finite numbers"):
        Moment(second=second, box=box)
