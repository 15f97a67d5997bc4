"""A covered mouth is noticed, and its pictures count as pictures without a face; uncovered mouths are never told so."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from extractors.media.probe import decode_frames
from extractors.messages import Message
from extractors.vision import outline
from extractors.vision.covering import covered
from extractors.vision.facial import read
from extractors.vision.landmarks import Box, Face
from tests.extractors.support.clips import face
from tests.extractors.vision.test_landmarks import scene
from tests.paths import SAMPLES

RATE = 5.0  # frames per second


def sample(name, *, frames=8):
    return [image for _, image in itertools.islice(decode_frames(SAMPLES / name, RATE), frames)]


def mouth_of(image):
    """(x, y) between the lips, width and height of the face."""
    box = {track.name: track.values[0] for track in read([(0.0, image)]).tracks}
    height, width = image.shape[:2]
    x, y = box["face x"] * width, box["face y"] * height
    w, h = box["face width"] * width, box["face height"] * height
    return x + w / 2, y + 0.78 * h, w, h


def shown(frames, rate=RATE):
    return [(index / rate, image) for index, image in enumerate(frames)]


def with_mask(image, x, y, w, h, colour):
    """A surgical mask: from the bridge of the nose to below the chin, with folds."""
    points = [(-0.5, -0.2), (0, -0.38), (0.5, -0.2), (0.42, 0.12), (0, 0.3), (-0.42, 0.12)]
    out = image.copy()
    cv2.fillPoly(out, [np.array([(x + dx * w, y + dy * h) for dx, dy in points], np.int32)], colour)
    for fold in (-0.1, 0.0, 0.1):
        left, right = (int(x - 0.4 * w), int(y + fold * h)), (int(x + 0.4 * w), int(y + fold * h))
        cv2.line(out, left, right, tuple(max(0, channel - 25) for channel in colour), 2)
    return out


def with_microphone(image, x, y, w, h):
    out = image.copy()
    cv2.line(out, (int(x), int(y)), (int(x - 0.5 * w), int(y + 1.2 * h)), (40, 40, 42), int(0.16 * w))
    cv2.circle(out, (int(x), int(y)), int(0.27 * w), (30, 30, 32), -1)
    cv2.circle(out, (int(x - 0.08 * w), int(y - 0.08 * w)), int(0.06 * w), (90, 90, 95), -1)
    return out


def with_hand(image, x, y, w, h):
    """Four fingers of the skin of the cheek across the mouth."""
    skin = np.median(image[int(y - 0.32 * h) : int(y - 0.25 * h), int(x - 0.3 * w) : int(x - 0.2 * w)], axis=(0, 1))
    out, thick = image.copy(), int(0.12 * h)
    for finger in range(4):
        middle = y + (finger - 1.5) * thick
        ends = (int(x - 0.55 * w), int(middle + 0.05 * h)), (int(x + 0.5 * w), int(middle))
        cv2.line(out, *ends, tuple(0.6 * skin), thick)
        cv2.line(out, *ends, tuple(0.95 * skin), int(0.8 * thick))
    return out


def codes(result):
    return [note.code for note in result.notes]


@pytest.mark.parametrize("name", ["neutral.webm", "negative.webm", "portrait"])
@pytest.mark.parametrize("cover", ["white mask", "black mask", "blue mask", "microphone", "hand"])
def test_a_covered_mouth_is_noticed(name, cover):
    frames = [face()] * 8 if name == "portrait" else sample(name)
    place = mouth_of(frames[0])
    colours = {"white mask": (235, 236, 238), "black mask": (28, 28, 30), "blue mask": (150, 190, 215)}
    if cover in colours:
        frames = [with_mask(image, *place, colours[cover]) for image in frames]
    else:
        frames = [{"microphone": with_microphone, "hand": with_hand}[cover](image, *place) for image in frames]
    result = read(shown(frames), RATE)
    assert not result.features.valid.any()
    assert "mouth_covered_noted" in codes(result)
    assert result.features.absent == Message("mouth_covered")
    assert not result.features.values.any()


@pytest.mark.parametrize("colour", [(235, 236, 238), (28, 28, 30), (150, 190, 215)], ids=["white", "black", "blue"])
@pytest.mark.parametrize(("pixels", "code"), [(48, "face_small"), (64, "mouth_covered_noted")])
def test_a_mask_on_a_small_face_is_told(pixels, code, colour):
    """Below some 60 pixels a face without a mouth is not found at all, and said to be too small."""
    image = scene((pixels, 300, 200))
    result = read(shown([with_mask(image, *mouth_of(image), colour)] * 8), RATE)
    assert not result.features.valid.any()
    assert [(note.code, note.values["share"]) for note in result.notes] == [(code, 100)]


def test_a_hand_for_a_while_leaves_the_rest():
    frames = sample("neutral.webm", frames=20)
    place = mouth_of(frames[0])
    frames = [
        with_mask(image, *place, (235, 236, 238)) if 8 <= index < 16 else image for index, image in enumerate(frames)
    ]
    result = read(shown(frames), RATE)
    assert not result.features.valid[10:14].any()
    assert result.features.valid[:6].all() and result.features.valid[18:].all()
    note = next(note for note in result.notes if note.code == "mouth_covered_noted")
    assert 25 <= note.values["share"] <= 50


@pytest.mark.parametrize("name", ["neutral.webm", "positive.webm", "negative.webm", "no-sound.webm"])
@pytest.mark.parametrize("light", [0.5, 1.0, 1.3])
def test_uncovered_mouths_stay(name, light):
    frames = [np.clip(image * light, 0, 255).astype(np.uint8) for image in sample(name, frames=12)]
    result = read(shown(frames), RATE)
    assert result.features.valid.all() and "mouth_covered_noted" not in codes(result)


def test_looks_around_must_agree():
    def one(cover):
        box = Box(x=0.0, y=0.0, width=1.0, height=1.0)
        return Face(
            box=box,
            blendshapes=(0.0,) * 52,
            matrix=np.eye(4),
            mouth=0.0,
            anchors=np.zeros((3, 2)),
            outline=outline.none(),
            cover=cover,
        )

    seconds = np.arange(12) / 10
    assert not covered([one(9.0)] + [one(-3.0)] * 11, seconds).any()
    assert not covered([one(None)] * 12, seconds).any()
    assert covered([one(3.0 if index % 2 == 0 else None) for index in range(12)], seconds).all()
    assert not covered([None] * 12, seconds).any()
    assert not covered([one(9.0), one(9.0)], seconds[:2]).any()  # a single picture tells nothing
