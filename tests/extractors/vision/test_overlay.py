"""Overlays: drawn where the features say, in letters that the fonts have."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from extractors.vision.outline import MESH_POINTS
from extractors.vision.overlay import lettering
from extractors.vision.overlay.drawing import Drawer
from extractors.vision.overlay.plan import MAX_CAPTION, Caption, Overlay

FACE, NEGATIVE, POSITIVE = (155, 93, 229), (217, 95, 14), (43, 127, 196)
GREY = 120
BOX = (0.25, 0.25, 0.5, 0.5)


def overlay(**changes):
    """A face from 1 s to 2 s, a score from 0.5 s on, a caption from 1 s to 2 s."""
    fields = {
        "duration": 3.0,
        "face_seconds": np.array([0.0, 1.0, 2.0]),
        "boxes": np.array([[np.nan] * 4, BOX, [np.nan] * 4]),
        "outlines": np.full((3, len(MESH_POINTS), 2), 51, np.uint8),
        "score_seconds": np.array([0.5, 2.0]),
        "scores": np.array([-1.5, 3.0]),
        "limit": 3.0,
        "face": FACE,
        "negative": NEGATIVE,
        "positive": POSITIVE,
        "captions": (Caption(text="What a day", start=1.0, end=2.0),),
        "about": "all",
        "about_left_out": "{count} left out",
    }
    return Overlay(**{**fields, **changes})


def drawn(plan, second, *, width=640, height=360):
    image = np.full((height, width, 3), GREY, np.uint8)
    Drawer(plan).draw(image, second)
    return image


def has(image, colour):
    return bool((np.abs(image.astype(int) - colour).sum(axis=2) < 6).any())


def changed(image):
    return bool((image != GREY).any())


def test_the_plan_survives_its_transport():
    for plan in (overlay(), overlay(outlines=None, captions=(), face_seconds=np.zeros(0), boxes=np.zeros((0, 4)))):
        found = Overlay.from_dict(json.loads(json.dumps(plan.to_dict())))
        for name, value in vars(plan).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(getattr(found, name), value, equal_nan=value.dtype.kind == "f")
            else:
                assert getattr(found, name) == value


def test_the_box_is_where_the_face_is_and_only_then():
    image = drawn(overlay(score_seconds=np.zeros(0), scores=np.zeros(0), outlines=None, captions=()), 1.5)
    edge = np.abs(image.astype(int) - FACE).sum(axis=2) < 6
    rows, columns = np.nonzero(edge)
    assert (columns.min(), columns.max()) == pytest.approx((160, 480), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((90, 270), abs=2)
    assert edge[180, 158:163].any() and not edge[100:260, 170:470].any()
    plan = overlay(score_seconds=np.zeros(0), scores=np.zeros(0))
    assert not changed(drawn(plan, 0.5)) and not changed(drawn(plan, 2.5))


def test_the_outline_lies_in_the_box():
    outlines = np.full((3, len(MESH_POINTS), 2), 102, np.uint8)
    outlines[1, :, 0] = np.linspace(51, 204, len(MESH_POINTS))  # on a level line, from a fifth to four fifths
    image = drawn(overlay(score_seconds=np.zeros(0), scores=np.zeros(0), captions=(), outlines=outlines), 1.5)
    rows, columns = np.nonzero(np.abs(image[100:260, 170:470].astype(int) - FACE).sum(axis=2) < 60)
    assert np.unique(rows + 100) == pytest.approx(90 + 72, abs=1), "two fifths of the box"
    assert (columns.min() + 170, columns.max() + 170) == pytest.approx((160 + 64, 160 + 256), abs=2)


def test_the_score_is_a_number_and_a_bar_from_the_middle():
    plan = overlay(captions=(), boxes=np.full((3, 4), np.nan))
    assert not changed(drawn(plan, 0.4))
    before, after = drawn(plan, 1.0), drawn(plan, 2.0)
    assert has(before[2:6, 160:320], NEGATIVE) and not has(before[2:6, 330:], NEGATIVE)
    assert has(after[2:6, 330:630], POSITIVE) and not has(after[2:6, :310], POSITIVE)
    assert has(before[8:40, 8:90], (255, 255, 255)), "letters"


def test_captions_are_shown_while_they_are_spoken():
    plan = overlay(boxes=np.full((3, 4), np.nan), score_seconds=np.zeros(0), scores=np.zeros(0))
    image = drawn(plan, 1.5)
    assert has(image[320:], (255, 255, 255)) and not changed(image[:300])
    assert not changed(drawn(plan, 0.9)) and not changed(drawn(plan, 2.0))


@pytest.mark.parametrize("size", [(16, 16), (16, 640), (1280, 16), (720, 1280)])
def test_everything_finds_room_on_any_frame(size):
    width, height = size
    long = (Caption(text="wonderful " * 12, start=0.0, end=3.0), Caption(text="w" * MAX_CAPTION, start=1.4, end=3.0))
    outside = np.array([[-5.0, -5.0, 9.0, 9.0], [0.9, 0.9, 0.5, 0.5], [1e9, 0, 1e9, 1e9]])
    for second in (0.6, 1.5, 2.5):
        assert drawn(overlay(captions=long, boxes=outside), second, width=width, height=height).shape[1] == width


def test_letters_without_a_font_are_left_out_and_counted():
    captions = tuple(
        Caption(text=text, start=float(start), end=start + 1.0)
        for start, text in enumerate(["naïve", "今天天气真好", "مرحبا", "שלום", "नमस्ते", "good 😀"])
    )
    drawer = Drawer(overlay(captions=captions))
    assert drawer.left_out == 4
    assert [text for text, _caption in drawer._captions] == ["naïve", "今天天气真好"]


@pytest.mark.parametrize("text", ["", "a?b", "“Ünïcødé” − … ’", "Привет", "Ελληνικά", "日本語の文字", "한국어"])
def test_what_the_fonts_have(text):
    assert lettering.can_draw(text)


def test_a_letter_without_a_font_is_never_drawn_as_another():
    assert not lettering.can_draw("\U0010fffd") and not lettering.can_draw("\ufdd0")
    assert lettering.plain(" a\u200b\n b\u202e\x00 e\u0301 ") == "a b é"


def test_lines_fit_and_break_between_words_or_square_letters():
    lines = lettering.wrapped("What a wonderful evening it is and how I love it", 20, 200)
    assert " ".join(lines) == "What a wonderful evening it is and how I love it"
    chinese = lettering.wrapped("今天天气真好我很喜欢这里的风景", 20, 100)
    endless = lettering.wrapped("w" * 500, 20, 200)
    assert "".join(chinese) == "今天天气真好我很喜欢这里的风景"
    assert len(endless) == lettering.MAX_LINES and endless[-1].endswith("…")
    for line in (*lines, *chinese, *endless[:-1]):
        assert lettering.width(line, 20) <= 200


def test_captions_are_bounded():
    with pytest.raises(ValueError, match="expected at most 120"):
        Caption(text="w" * (MAX_CAPTION + 1), start=0.0, end=1.0)
    assert replace(overlay(), captions=()).captions == ()
