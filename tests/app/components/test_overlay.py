"""What the overlay draws: compact, and where the extractors found it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from app.components.result import overlay
from app.services import samples
from extractors.schema import Track


@pytest.fixture(scope="module")
def result():
    return samples.analysed(samples.listed()[0])


def test_the_box_is_the_tracks_and_a_frame_without_a_face_has_none(result):
    found = overlay.face(result.features)
    tracks = {track.name: track for track in result.features.tracks}
    assert len(found["seconds"]) == len(found["boxes"]) == len(tracks["face x"].seconds)
    assert found["boxes"][3] == pytest.approx([tracks[name].values[3] for name in overlay.BOX], abs=1e-3)
    gone = tuple(
        Track(name=track.name, unit=track.unit, seconds=track.seconds, values=np.full(len(track.values), np.nan))
        for track in result.features.tracks
    )
    assert set(overlay.face(dataclasses.replace(result.features, tracks=gone))["boxes"]) == {None}
    assert overlay.face(dataclasses.replace(result.features, tracks=())) == {"seconds": [], "boxes": []}


def test_the_running_score_ends_at_the_score(result):
    prediction = result.predictions[result.available]
    found = overlay.running_score(result.features, prediction)
    assert len(found["seconds"]) == len(result.features.words)
    assert found["values"][-1] == pytest.approx(prediction.score, abs=0.01)
    whole = overlay.running_score(result.features, dataclasses.replace(prediction, running_scores=None))
    assert whole == {"seconds": [0.0], "values": [round(prediction.score, 3)]}
    assert len(json.dumps([overlay.face(result.features), found])) < 10_000
