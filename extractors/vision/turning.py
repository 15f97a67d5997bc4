"""Which way up a clip's frame lies: cameras that are held askew, and files that lost their rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from extractors.vision import detection
from extractors.vision.landmarks import Face, find_all, part_of, window

if TYPE_CHECKING:
    from mediapipe.tasks.python import vision

QUARTERS = 4
# A face found as upright with this confidence is: upside down none of 70 clips of people reaches .77.
CERTAIN = 0.85
UPRIGHT_ROLL = np.pi / 4  # radians by which the head of a frame that is the right way up may be tilted
LIKELY = 0.5  # confidence in one of the four directions from which a look counts
NEARLY = 0.15  # below the most certain direction: others are not looked at more closely
SURE = 0.5  # mean vote for the direction into which the frame is turned
MARGIN = 0.2  # by which it exceeds the vote for the frame as it is
LOOKS = 3  # that count
MAX_LOOKS = 20  # with or without a face
LOOK_SECONDS = 0.5  # between looks


class Turning:
    """Looks at a few images of a clip in four directions until it is known which one is upright.

    Where the first image holds a face that is certain and not tilted, this is all; a look in four directions costs
    about as much as a frame. A direction's vote is the detector's confidence times the cosine of the tilt that the
    landmarker sees: the detector is nearly as sure of a face lying down, which the landmarker tells, and the landmarker
    gives some faces upside down as upright ones, of which the detector is not sure.

    Args:
        detector: As `detection.detector` gives it.
        still: As `landmarks.landmarker` gives it.

    Attributes:
        quarters: By which images are to be turned anticlockwise, as far as is known: 0 to 3.
    """

    def __init__(self, detector: vision.FaceDetector, still: vision.FaceLandmarker) -> None:
        self.quarters = 0
        self._detector = detector
        self._still = still
        self._votes: list[np.ndarray] = []
        self._looks = 0
        self._next = -np.inf  # s

    def look(self, image: UInt8[np.ndarray, "height width 3"], second: float, face: Face | None) -> None:
        """Take one more image as evidence, where it is time for one.

        Args:
            image: RGB.
            second: Of the clip.
            face: The largest that was found in it as it is.
        """
        if second < self._next or self._looks >= MAX_LOOKS:
            return
        self._next = second + LOOK_SECONDS
        self._looks += 1
        if face is not None and abs(_roll(face)) < UPRIGHT_ROLL and not self._votes:
            found = detection.best(self._detector, image)
            if found is not None and found.confidence >= CERTAIN:
                self._looks = MAX_LOOKS
                return
        if (vote := self._vote(image, face)) is not None:
            self._votes.append(vote)
        if len(self._votes) == LOOKS:
            self.conclude()

    def conclude(self) -> None:
        """Decide by the looks so far, as where the clip ends; no more follow."""
        self._looks = MAX_LOOKS
        mean = np.mean(self._votes or [np.zeros(QUARTERS)], axis=0)
        first = int(mean.argmax())
        if mean[first] >= SURE and mean[first] - mean[0] >= MARGIN:
            self.quarters = first

    def _vote(self, image: np.ndarray, face: Face | None) -> Float[np.ndarray, " quarters"] | None:
        """Return a vote in [0, 1] for each direction, from the place where a face is most certain in any of them."""
        sides = [image.shape[1::-1], image.shape[:2]]
        whole = [detection.best(self._detector, turned(image, quarters)) for quarters in range(QUARTERS)]
        candidates = [
            (found.confidence, found.box.turned(-quarters, *map(float, sides[quarters % 2])))
            for quarters, found in enumerate(whole)
            if found is not None
        ]
        certain, box = max(candidates, key=lambda entry: entry[0], default=(0.0, None))
        if box is None or certain < LIKELY:
            return None
        part = part_of(image, window(image, box))
        near = [detection.best(self._detector, turned(part, quarters)) for quarters in range(QUARTERS)]
        confidences = np.array([0.0 if found is None else found.confidence for found in near])
        if confidences.argmax() == 0 and face is not None and abs(_roll(face)) < UPRIGHT_ROLL:
            return confidences * (1, 0, 0, 0)
        votes = np.zeros(QUARTERS)
        for quarters in map(int, np.flatnonzero(confidences > confidences.max() - NEARLY)):
            heads = find_all(self._still, turned(part, quarters))
            votes[quarters] = confidences[quarters] * max((np.cos(_roll(head)) for head in heads[:1]), default=0.0)
        return np.maximum(votes, 0.0)


def turned(image: np.ndarray, quarters: int) -> UInt8[np.ndarray, "height width 3"]:
    """Return an image turned by quarters anticlockwise."""
    return np.ascontiguousarray(np.rot90(image, quarters))


def _roll(face: Face) -> float:
    """Return the angle by which a head is tilted in the image, in radians."""
    return float(np.arctan2(face.matrix[1, 0], face.matrix[1, 1]))
