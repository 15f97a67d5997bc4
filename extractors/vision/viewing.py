"""A clip's frames, seen once: who is in view in each, and which way up they lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from extractors.vision import covering, detection
from extractors.vision.landmarks import Face, landmarker
from extractors.vision.tracking import Tracker
from extractors.vision.turning import Turning, turned
from extractors.vision.unread import Reason, Unread

if TYPE_CHECKING:
    from mediapipe.tasks.python import vision

EARLY = 0.01  # s by which a look may come early: time stamps are rounded

Frames = Iterable[tuple[float, np.ndarray]]  # seconds and an RGB image, which `_checked` checks


@dataclass
class Viewed:
    """What was seen in a clip's frames, one entry a frame.

    Attributes:
        quarters: By which all frames were turned anticlockwise before.
        seconds: From the start of the clip.
        shapes: Of the frames, turned.
        faces: By the number of their person, the largest first; in pixels of the turned frame.
        unread: Why there is no face; None where there is one.
    """

    quarters: int = 0
    seconds: list[float] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    faces: list[dict[int, Face]] = field(default_factory=list)
    unread: list[Reason | None] = field(default_factory=list)


def view(frames: Frames) -> Viewed:
    """Look at frames; where they turn out to lie askew, again from the start, turned.

    Args:
        frames: (seconds from the start of the clip, RGB image) with rising seconds, which can be iterated twice. What
            can be iterated only once is kept in memory.

    Raises:
        ValueError: If the seconds do not rise by at least 1 ms or an image is not (height, width, 3) uint8.
        AssetError: If the model file cannot be had.
    """
    if isinstance(frames, Iterator):
        frames = list(frames)
    with ExitStack() as stack:
        detector, still = stack.enter_context(detection.detector()), stack.enter_context(landmarker(still=True))
        turning = Turning(detector, still)
        viewed = _viewed(frames, 0, Tracker(stack.enter_context(landmarker()), still), detector, turning)
        if turning.quarters:
            tracker = Tracker(stack.enter_context(landmarker()), still)
            viewed = _viewed(frames, turning.quarters, tracker, detector, None)
        return viewed


def _viewed(
    frames: Frames, quarters: int, tracker: Tracker, detector: vision.FaceDetector, turning: Turning | None
) -> Viewed:
    """Look at frames that are turned before, until `turning` finds that they lie askew."""
    viewed, unread = Viewed(quarters=quarters), Unread(detector)
    next_look = -np.inf  # s, at mouths
    for second, frame in _checked(frames):
        image = turned(frame, quarters) if quarters else frame
        faces = tracker.find(image, second)
        if second >= next_look - EARLY:
            next_look = second + covering.LOOK_SECONDS
            faces = {person: covering.look(image, face) for person, face in faces.items()}
        viewed.seconds.append(second)
        viewed.shapes.append(image.shape)
        viewed.faces.append(faces)
        viewed.unread.append(None if faces else unread.look(image, second))
        if turning is not None:
            turning.look(image, second, next(iter(faces.values()), None))
            if turning.quarters:
                return viewed
    if turning is not None:
        turning.conclude()
    return viewed


def _checked(frames: Frames) -> Iterator[tuple[float, np.ndarray]]:
    last: float | None = None
    for second, image in frames:
        if last is not None and round(1000 * second) <= round(1000 * last):
            raise ValueError(f"frames: {second} s after {last} s, expected rising by at least 1 ms")
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"frames: {image.shape} {image.dtype}, expected (height, width, 3) uint8")
        last = second
        yield second, image
