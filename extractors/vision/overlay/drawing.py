"""Drawing an overlay on a clip's frames, as `app/components/frontend/overlay.js` does in a browser."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from extractors.vision.outline import LINES, STEPS
from extractors.vision.overlay import lettering
from extractors.vision.overlay.plan import Colour, Overlay

Image = UInt8[np.ndarray, "height width 3"]

UNIT_SIDE = 360.0  # pixels of a frame's shorter side in which sizes below are meant
SHADE = 0.65  # of black behind letters
WHITE = 255
SCORE_LETTERS, CAPTION_LETTERS = 18.0, 15.0  # pixels
LEAST_LETTERS = 12  # pixels
MARGIN = 8.0
CAPTION_ROOM = 0.9  # of the frame's width


class Drawer:
    """Draws an overlay on one frame after the other.

    Attributes:
        left_out: Captions in letters that no font here has, which are not drawn.
    """

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        cleaned = [(lettering.plain(caption.text), caption) for caption in overlay.captions]
        self._captions = [(text, caption) for text, caption in cleaned if lettering.can_draw(text)]
        self._starts = np.array([caption.start for _text, caption in self._captions], float)
        self.left_out = len(cleaned) - len(self._captions)

    def draw(self, image: Image, second: float) -> None:
        """Draw what belongs to a second of the clip on an RGB frame of it."""
        unit = max(1.0, min(image.shape[:2]) / UNIT_SIDE)
        self._draw_face(image, second, unit)
        self._draw_score(image, second, unit)
        self._draw_caption(image, second, unit)

    def _draw_face(self, image: Image, second: float, unit: float) -> None:
        overlay, place = self._overlay, _before(self._overlay.face_seconds, second)
        if place < 0 or not np.isfinite(overlay.boxes[place]).all():
            return
        height, width = image.shape[:2]
        x, y, wide, high = overlay.boxes[place] * (width, height, width, height)
        corners = np.array([[x, y], [x + wide, y], [x + wide, y + high], [x, y + high]])
        _draw_lines(image, [corners], overlay.face, closed=True, thickness=max(1, round(2 * unit)))
        if overlay.outlines is not None:
            points = overlay.outlines[place] / STEPS * (wide, high) + (x, y)
            lines = [points[list(line)] for line in LINES]
            _draw_lines(image, lines, overlay.face, closed=False, thickness=max(1, round(unit)))

    def _draw_score(self, image: Image, second: float, unit: float) -> None:
        overlay, place = self._overlay, _before(self._overlay.score_seconds, second)
        if place < 0:
            return
        value = float(overlay.scores[place])
        shown = f"{'−' if value < 0 else '+'}{abs(value):.2f}"
        margin = round(MARGIN * unit)
        _draw_label(image, (shown,), max(LEAST_LETTERS, round(SCORE_LETTERS * unit)), left=margin, top=margin)
        # From the middle, which is 0, to the left or to the right.
        middle = image.shape[1] // 2
        reach = round((middle - margin) * min(abs(value) / overlay.limit, 1.0))
        low, high = (middle - reach, middle) if value < 0 else (middle, middle + reach)
        image[round(2 * unit) : round(6 * unit), low:high] = overlay.negative if value < 0 else overlay.positive

    def _draw_caption(self, image: Image, second: float, unit: float) -> None:
        place = _before(self._starts, second)
        if place < 0:
            return
        text, caption = self._captions[place]
        if second >= caption.end:
            return
        height, width = image.shape[:2]
        size = max(LEAST_LETTERS, round(CAPTION_LETTERS * unit))
        lines = lettering.wrapped(text, size, round(CAPTION_ROOM * width))
        if lines:
            _draw_label(image, lines, size, bottom=height - round(MARGIN * unit))


def _before(seconds: Float[np.ndarray, " moments"], second: float) -> int:
    """Return the index of the last moment that is not after a second; -1 before the first."""
    return int(np.searchsorted(seconds, second, side="right")) - 1


def _draw_lines(image: Image, lines: list[np.ndarray], colour: Colour, *, closed: bool, thickness: int) -> None:
    # Boxes may reach beyond the image; far beyond, OpenCV's numbers would run over.
    room = np.array(image.shape[1::-1])
    whole = [np.rint(np.clip(line, -room, 2 * room)).astype(np.int32) for line in lines]
    cv2.polylines(image, whole, isClosed=closed, color=colour, thickness=thickness, lineType=cv2.LINE_AA)


def _draw_label(
    image: Image, lines: tuple[str, ...], size: int, *, left: int | None = None, top: int = 0, bottom: int | None = None
) -> None:
    """Draw white letters on a dark ground: from a corner, or in the middle above a bottom."""
    letters = lettering.mask(lines, size)
    pad = size // 3
    ground = np.pad(letters, ((pad // 2, pad // 2), (pad, pad)))
    height, width = ground.shape
    x = max(0, (image.shape[1] - width) // 2) if left is None else left
    y = max(0, top if bottom is None else bottom - height)
    part = image[y : y + height, x : x + width]
    share = ground[: part.shape[0], : part.shape[1], None] / np.float32(WHITE)
    darker = part.astype(np.float32) * ((1 - SHADE) * (1 - share))
    part[:] = np.rint(darker + WHITE * share).astype(np.uint8)
