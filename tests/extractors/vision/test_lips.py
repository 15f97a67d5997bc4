"""Whose face is in view: that of the speaker in whose turns its lips move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from extractors.schema import ModalityFeatures
from extractors.storage import feature_files
from extractors.storage.parts import Parts
from extractors.vision import facial, lips
from tests.paths import APP

TURNS = {"Ann": [(0.0, 3.0)], "Ben": [(3.0, 6.0)]}


def face(movements: list[float], *, seen: float = 1.0) -> ModalityFeatures:
    """A face whose jaw moves so much in each three seconds."""
    values = np.zeros((30 * len(movements), facial.SCHEMA.dim), np.float32)
    values[:, 0] = 0.5
    jaw = facial.SCHEMA.columns.index("jawOpen")
    for place, much in enumerate(movements):
        values[30 * place : 30 * (place + 1), jaw] = 0.3 + much * np.tile([1, -1], 15)
    start = np.arange(len(values)) / 10
    valid = np.arange(len(values)) % 30 < 30 * seen
    return ModalityFeatures(values=values * valid[:, None], start=start, end=start + 0.1, valid=valid)


@pytest.mark.parametrize(
    ("movements", "whose"),
    [
        ((0.2, 0.2), (True, True)),
        ((0.2, 0.01), (True, False)),
        ((0.005, 0.15), (False, True)),
        ((0.01, 0.01), (None, None)),
        ((0.2, 0.1), (True, None)),
    ],
)
def test_lips_tell_whose_face_it_is(movements, whose):
    assert tuple(lips.whose(face(list(movements)), TURNS).values()) == whose


def test_a_face_that_is_hardly_seen_tells_nothing():
    assert lips.whose(face([0.2, 0.01], seen=0.3), TURNS) == {"Ann": None, "Ben": None}
    assert lips.movement(face([0.1]), []) is None


def test_another_speakers_face_is_left_out_of_what_one_says():
    clip = feature_files.load(APP / "samples" / "positive.safetensors")
    values = clip.video.values.copy()
    values[30:60, : facial.SCHEMA.dim] = values[30, : facial.SCHEMA.dim]
    clip = replace(clip, video=replace(clip.video, values=values * clip.video.valid[:, None]))
    first, second, nobody = Parts(clip).said([*TURNS.items(), (None, [(6.0, 8.0)])], TURNS)
    assert first.video.absent is None and nobody.video.absent is None
    assert second.video.absent is not None and second.audio.absent is None
