"""Why no face was read in a frame: it is turned away, too dark, too bright, too small, or not clear enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import UInt8

from extractors.messages import Message
from extractors.vision import detection
from extractors.vision.landmarks import cut, part_of, tiles

if TYPE_CHECKING:
    from mediapipe.tasks.python import vision

Reason = Literal["turned_away", "dark", "bright", "small", "unclear", "nobody"]
LOOK_SECONDS = 0.5  # between looks at frames without a face
MAX_LOOKS = 60  # of a clip; later frames have the last look's reason
MAX_TILED = 2  # looks that search for faces too small to be read

SEEN = 0.55  # confidence from which the detector has seen a face: noise and empty rooms stay below .4
TURNED = 0.3  # distances of the eyes by which the nose lies aside, from about 45 degrees
DARK, BRIGHT = 35.0, 225.0  # mean lightness, of 255
SMALL_SHARE = 0.15  # side of the tiles, of the frame's longer one, in which small faces are looked for
NOTED_SHARE = 0.1  # of the frames: fewer without a face are not worth a note
LEAST_NOTED = 5  # frames

CODES: dict[Reason, str] = {
    "turned_away": "face_turned_away",
    "dark": "face_in_the_dark",
    "bright": "face_overexposed",
    "small": "face_small",
    "unclear": "face_unclear",
    "nobody": "face_not_always_there",
}


class Unread:
    """Looks at some of the frames without a face, with the detector alone.

    Args:
        detector: As `detection.detector` gives it.
    """

    def __init__(self, detector: vision.FaceDetector) -> None:
        self._detector = detector
        self._next = -np.inf  # s
        self._looks = self._tiled = 0
        self._last: Reason = "nobody"

    def look(self, image: UInt8[np.ndarray, "height width 3"], second: float) -> Reason:
        """Return why no face was read in a frame, or, between looks, in the one looked at last."""
        if second >= self._next and self._looks < MAX_LOOKS:
            self._next = second + LOOK_SECONDS
            self._looks += 1
            self._last = self._reason(image)
        return self._last

    def _reason(self, image: np.ndarray) -> Reason:
        found = detection.best(self._detector, image)
        if found is not None and found.confidence >= SEEN:
            return "turned_away" if found.turned > TURNED else "unclear"
        lightness = float(image[::4, ::4].mean())
        if lightness < DARK:
            return "dark"
        if lightness > BRIGHT:
            return "bright"
        return "small" if self._shows_small(image) else "nobody"

    def _shows_small(self, image: np.ndarray) -> bool:
        if self._tiled >= MAX_TILED:
            return self._last == "small"
        self._tiled += 1
        for x, y, side in tiles(image, SMALL_SHARE):
            found = detection.best(self._detector, np.ascontiguousarray(part_of(image, cut(image, x, y, side))))
            if found is not None and found.confidence >= SEEN:
                return True
        return False


def notes(reasons: Sequence[Reason | None]) -> tuple[Message, ...]:
    """Return notes on the frames in which no face was read.

    Args:
        reasons: One a frame, None where a face was read.
    """
    counts = Counter(reason for reason in reasons if reason is not None)
    if sum(counts.values()) < max(NOTED_SHARE * len(reasons), LEAST_NOTED):
        return ()
    if counts["nobody"] == len(reasons):
        return ()  # "no face found" says it
    shares = {reason: round(100 * count / len(reasons)) for reason, count in counts.most_common()}
    return tuple(Message(CODES[reason], {"share": max(share, 1)}) for reason, share in shares.items())
