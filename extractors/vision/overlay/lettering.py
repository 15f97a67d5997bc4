"""Lettering: text in the fonts that OpenCV brings along, and which text they can draw.

They hold Latin, Greek, Cyrillic, Chinese, Japanese and Korean letters. OpenCV neither joins letters nor runs from right
to left, so Arabic, Hebrew and Indian scripts are not drawn at all rather than wrongly.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

FONT = "sans"  # letters that it lacks come from OpenCV's "uni"
WEIGHT = 500
MISSING = "?"  # is drawn instead of a letter that no font has
TRIAL = 24  # pixels, of a letter that is tried
RIGHT_TO_LEFT = ("R", "AL", "AN")  # bidirectional classes
WIDE = ("W", "F")  # East Asian widths of letters between which a line may break
LEADING = 1.3  # from line to line, in sizes of the letters
MAX_LINES = 4
ELLIPSIS = "…"


def plain(text: str) -> str:
    """Return a text on one line, with letters composed and invisible characters left out."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(letter for letter in composed if unicodedata.category(letter) not in ("Cf", "Cc"))


def can_draw(text: str) -> bool:
    """Whether the fonts have every letter of a text, and it can be drawn letter by letter.

    >>> can_draw("naïve, 你好"), can_draw("مرحبا")
    (True, False)
    """
    return all(map(_is_drawn, set(text) - {" "}))


@functools.lru_cache(maxsize=8192)
def _is_drawn(letter: str) -> bool:
    if unicodedata.bidirectional(letter) in RIGHT_TO_LEFT or unicodedata.category(letter)[0] in "MC":
        return False
    trial = _trial(letter)
    return letter == MISSING or (bool(trial.any()) and not np.array_equal(trial, _trial(MISSING)))


def _trial(letter: str) -> np.ndarray:
    return mask((letter,), TRIAL)


def width(text: str, size: int) -> int:
    """Return a line's width in pixels, at a size of the letters in pixels."""
    left, _top, wide, _high = cv2.getTextSize((1, 1), text, (0, 0), _font(), size, WEIGHT)
    return left + wide


@functools.lru_cache(maxsize=32)
def wrapped(text: str, size: int, room: int) -> tuple[str, ...]:
    """Break a text into at most `MAX_LINES` lines of a width in pixels; what has no room ends in an ellipsis."""
    lines: list[str] = [""]
    for piece in _pieces(text, size, room):
        if width((lines[-1] + piece).rstrip(), size) <= room:
            lines[-1] += piece
        elif len(lines) == MAX_LINES:
            lines[-1] = lines[-1].rstrip() + ELLIPSIS
            break
        else:
            lines.append(piece)
    return tuple(line.strip() for line in lines if line.strip())


def _pieces(text: str, size: int, room: int) -> Iterator[str]:
    """Yield words with the space behind them; letter by letter where a line may break there, or has to."""
    for word in text.split():
        if width(word, size) > room or any(unicodedata.east_asian_width(letter) in WIDE for letter in word):
            yield from word
            yield " "
        else:
            yield f"{word} "


@functools.lru_cache(maxsize=32)
def mask(lines: tuple[str, ...], size: int) -> UInt8[np.ndarray, "height width"]:
    """Draw lines of text, each in the middle, white on black."""
    widths = [width(line, size) for line in lines]
    step = round(LEADING * size)
    canvas = np.zeros((step * len(lines), max([1, *widths]), 3), np.uint8)
    for place, (line, wide) in enumerate(zip(lines, widths, strict=True)):
        origin = ((canvas.shape[1] - wide) // 2, step * place + size)
        cv2.putText(canvas, line, origin, (255, 255, 255), _font(), size, WEIGHT)
    return np.ascontiguousarray(canvas[..., 0])


@functools.cache
def _font() -> cv2.FontFace:
    return cv2.FontFace(FONT)
