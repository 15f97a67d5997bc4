"""What the overlay draws: compact, and where the extractors found it."""

from __future__ import annotations

import base64
import dataclasses
import json

import numpy as np
import pytest

from app.components.result import overlay
from app.export import overlaid
from app.services import samples
from extractors.messages import Message
from extractors.schema import FACE_BOX, ModalityFeatures, Track, Word
from extractors.vision.outline import MESH_POINTS
from extractors.vision.overlay.plan import MAX_CAPTION
from tests.extractors.support import features


@pytest.fixture(scope="module")
def result():
    return samples.analysed(samples.listed()[0])


def test_the_box_is_the_tracks_and_a_frame_without_a_face_has_none(result):
    found = overlay.face(result.features)
    tracks = {track.name: track for track in result.features.tracks}
    assert len(found["seconds"]) == len(found["boxes"]) == len(tracks["face x"].seconds)
    assert found["boxes"][3] == pytest.approx([tracks[name].values[3] for name in FACE_BOX], abs=1e-3)
    gone = tuple(
        Track(name=track.name, unit=track.unit, seconds=track.seconds, values=np.full(len(track.values), np.nan))
        for track in result.features.tracks
    )
    assert set(overlay.face(dataclasses.replace(result.features, tracks=gone))["boxes"]) == {None}
    assert overlay.face(dataclasses.replace(result.features, tracks=(), outlines=None)) == {"seconds": [], "boxes": []}


def test_the_outline_is_small_and_in_step_with_the_box(result):
    made = result.features
    found = overlay.outline(made)
    points = np.frombuffer(base64.b64decode(found["points"]), np.uint8)
    assert len(points) == 2 * found["count"] * len(overlay.face(made)["boxes"])
    assert max(place for line in found["lines"] for place in line) < found["count"]
    assert len(json.dumps(found)) < 20_000, "of a clip of 8 s"
    assert overlay.outline(dataclasses.replace(made, outlines=None)) is None


def test_all_data_of_ten_minutes_stay_small():
    seconds, random = np.arange(6000) / 10, np.random.default_rng(0)
    tracks = tuple(
        Track(name=name, unit="", seconds=seconds, values=random.uniform(0.1, 0.5, 6000)) for name in FACE_BOX
    )
    outlines = random.integers(0, 256, (6000, len(MESH_POINTS), 2)).astype(np.uint8)
    long = features.clip(6000, tracks=tracks, outlines=outlines)
    assert len(json.dumps([overlay.face(long), overlay.outline(long)])) < 1_250_000


def test_the_plan_of_an_export_is_what_the_player_draws(result):
    made = overlaid.plan(result, result.predictions[result.available])
    box = overlay.face(result.features)["boxes"]
    assert made.boxes[3] == pytest.approx(box[3]) and len(made.boxes) == len(box)
    assert np.array_equal(made.outlines, result.features.outlines)
    assert made.scores[-1] == pytest.approx(result.predictions[result.available].score, abs=0.01)
    assert " ".join(caption.text for caption in made.captions) == " ".join(word.text for word in result.features.words)
    starts, ends = [caption.start for caption in made.captions], [caption.end for caption in made.captions]
    assert starts == sorted(starts) and all(end <= start for end, start in zip(ends, starts[1:], strict=False))


@pytest.mark.parametrize("letter", ["w", "好", "\ufb2c"])
def test_captions_of_endless_words_are_bounded(result, letter):
    words = tuple(Word(text=letter * 5000, start=float(place), end=place + 1.0) for place in range(3))
    parts = list(overlaid._parts(words))
    assert tuple(word for part in parts for word in part) == words
    assert max(len(" ".join(overlaid._shortened(word.text) for word in part)) for part in parts) <= MAX_CAPTION
    mute = ModalityFeatures.missing(Message("no_speech"), result.features.language.values.shape[1])
    silent = dataclasses.replace(result, features=dataclasses.replace(result.features, language=mute, words=()))
    prediction = dataclasses.replace(result.predictions[result.available], running_scores=None)
    assert overlaid.plan(silent, prediction).captions == ()


def test_the_running_score_ends_at_the_score(result):
    prediction = result.predictions[result.available]
    found = overlay.running_score(result.features, prediction)
    assert len(found["seconds"]) == len(result.features.words)
    assert found["values"][-1] == pytest.approx(prediction.score, abs=0.01)
    whole = overlay.running_score(result.features, dataclasses.replace(prediction, running_scores=None))
    assert whole == {"seconds": [0.0], "values": [round(prediction.score, 3)]}
    assert len(json.dumps([overlay.face(result.features), found])) < 10_000
