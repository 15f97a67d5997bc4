"""Face tracking: which faces belong to one person from frame to frame, and whom the video features follow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8

from extractors.vision.landmarks import MAX_FACES, Box, Face, distinct, find_all, find_near, find_next, search

if TYPE_CHECKING:
    from mediapipe.tasks.python import vision

LOOK_SECONDS = 3.0  # between looks for other faces while one is in view; a look costs as much as a frame
# Between searches in tiles while no face is in view; 17 tiles without a face cost as much as 3 frames with one.
SEARCH_SECONDS = 1.0
LOST_SECONDS = 0.5  # for which a face that is not found still counts as in view, and is looked for at its place
MEMORY_SECONDS = 10.0  # for which a person is known again by the place of the face
MAX_PERSONS = 16  # among whom one is chosen: those seen longest

MOVE_SECONDS = 0.1  # over which the lips' movement is measured; a syllable opens and closes them in about 0.2 s
SPEECH_SECONDS = 1.0  # over which movements are averaged
# Mean change of the opening in `MOVE_SECONDS`, in heights of the face, of who speaks: medians of .009 to .031 in 17
# clips of people talking, below .003 in still faces.
SPEECH_MOVEMENT = 0.012
SIZE_POINTS = 0.3  # per second, of the largest face; speaking earns 1
ABSENT_POINTS = 1.0  # per second, lost by who is not found
CHANGE_POINTS = 1.0  # lost by every change of person


class Tracker:
    """Finds all faces in view, frame by frame, and numbers the persons they belong to.

    Two faces are one person's where they are near each other (`Box.is_near`) from one frame to the next, or less than
    `MEMORY_SECONDS` apart.

    While one face is in view, the landmarker for streams reads it, as it does best for one face; others are looked for
    every `LOOK_SECONDS`. A face that it does not give, because it is small, is read from a window around its last
    place. While two or more are in view, all are read from each image, those not found from windows. While none is
    known, the image is searched in overlapping tiles every `SEARCH_SECONDS`; beside a face in view tiles are not
    searched, since parts of a large face pass for small ones there. Only the stream is smoothed over time.

    Args:
        stream: Landmarker of one face in a stream of whole images.
        still: Landmarker of `MAX_FACES` faces in any image.
    """

    def __init__(self, stream: vision.FaceLandmarker, still: vision.FaceLandmarker) -> None:
        self._stream = stream
        self._still = still
        self._last: dict[int, tuple[Box, float]] = {}  # of each person: where, and when (s), last seen
        self._persons = 0  # so far
        self._windowed = False  # whether the one face in view is read from a window
        self._next_look = -np.inf  # s
        self._next_search = -np.inf  # s

    def find(self, image: UInt8[np.ndarray, "height width 3"], second: float) -> dict[int, Face]:
        """Return the faces in the next frame by the number of their person, the largest first.

        Args:
            image: RGB.
            second: Of the clip, later by at least 1 ms than that of the frame before.
        """
        view = self._in_view(second)
        faces: list[Face] = []
        if len(view) > 1 or second >= self._next_look:
            self._next_look = second + LOOK_SECONDS
            faces = find_all(self._still, image)
        if len(view) > 1 or len(faces) > 1:
            faces = self._several(image, view, faces)
        else:
            faces = self._single(image, second, next(iter(view), None), next(iter(faces), None))
        if faces:
            self._next_search = -np.inf
        return self._named(faces, second)

    def _in_view(self, second: float) -> list[Box]:
        """Return the last boxes of those seen a moment ago, at most `MAX_FACES`."""
        recent = [(seen, box) for box, seen in self._last.values() if second - seen < LOST_SECONDS]
        return [box for _, box in sorted(recent, key=lambda entry: entry[0], reverse=True)[:MAX_FACES]]

    def _several(self, image: np.ndarray, view: Sequence[Box], faces: Sequence[Face]) -> list[Face]:
        """Add the faces in view that the whole image does not give."""
        self._windowed = False
        found = list(faces)
        for box in view:
            if not any(face.box.is_near(box) for face in found):
                face = find_near(self._still, image, box)
                found += [] if face is None else [face]
        return distinct(found)

    def _single(self, image: np.ndarray, second: float, box: Box | None, looked: Face | None) -> list[Face]:
        """Read the one face in view, last at `box`, or search for faces; `looked` is what a look around found."""
        if box is None or (looked is not None and looked.box.is_near(box)):
            self._windowed = False
        if box is None and looked is not None:
            box = looked.box
        face = None if self._windowed else find_next(self._stream, image, second)
        if face is None and box is not None:
            face = find_near(self._still, image, box)
            if face is None and self._windowed:  # a small face has gone: no use to wait at its place
                self._last.clear()
                box = None
            self._windowed = face is not None
        if face is not None:
            return [face]
        if box is not None or second < self._next_search:
            return []
        self._next_search = second + SEARCH_SECONDS
        faces = search(self._still, image)
        self._windowed = bool(faces)
        return faces

    def _named(self, faces: Sequence[Face], second: float) -> dict[int, Face]:
        """Give each face the person nearest to it, each person once; a face near none is a new person's."""
        pairs = sorted(
            (math.dist(face.box.centre, box.centre), index, person)
            for index, face in enumerate(faces)
            for person, (box, _) in self._last.items()
            if face.box.is_near(box)
        )
        persons: dict[int, int] = {}
        for _, index, person in pairs:
            if index not in persons and person not in persons.values():
                persons[index] = person
        named = {}
        for index, face in enumerate(faces):
            if index not in persons:
                persons[index] = self._persons
                self._persons += 1
            named[persons[index]] = face
        self._last |= {person: (face.box, second) for person, face in named.items()}
        self._last = {
            person: (box, seen) for person, (box, seen) in self._last.items() if second - seen < MEMORY_SECONDS
        }
        return named


def followed(views: Sequence[Mapping[int, Face]], rate: float) -> list[Face | None]:
    """Choose the person whom a clip's video features describe.

    The rule: where never more than one face is seen at once, it is that face. Else each person earns points at each
    moment: up to 1 a second for speaking, which is how much the lips move within `SPEECH_SECONDS` around it, up to
    `SIZE_POINTS` a second for the size of the face against the largest, and loses `ABSENT_POINTS` a second where not
    found. The person followed is who earns most; others take over where that earns more, `CHANGE_POINTS` for every
    change deducted. So who speaks is followed, else the largest face; nobody takes over for an interjection of a
    second or a face that is not found for half of one.

    Lips that move without a sound (laughing, chewing) count as speech: loudness is ignored, since it shows that
    somebody speaks, which holds for all faces alike, and the speaker may not be in the image.

    Args:
        views: Faces by person, frame by frame.
        rate: Frames per second.

    Returns:
        For each frame the followed person's face; None where it is not found.
    """
    if max(map(len, views), default=0) < 2:
        return [next(iter(view.values()), None) for view in views]
    counts = Counter(person for view in views for person in view)
    persons = [person for person, _ in counts.most_common(MAX_PERSONS)]
    faces = [[view.get(person) for person in persons] for view in views]
    mouths = np.array([[np.nan if face is None else face.mouth for face in row] for row in faces])
    areas = np.array([[0.0 if face is None else face.box.area for face in row] for row in faces])
    sizes = areas / np.maximum(areas.max(axis=1, keepdims=True), 1.0)
    points = np.where(areas > 0, _speech(mouths, rate) + SIZE_POINTS * sizes, -ABSENT_POINTS)
    return [row[person] for row, person in zip(faces, _best_path(points / rate, CHANGE_POINTS), strict=True)]


def _speech(mouths: Float[np.ndarray, "frames persons"], rate: float) -> Float[np.ndarray, "frames persons"]:
    """Return how much each person speaks, 0 to 1, from how the opening of the mouth changes; NaN is unknown."""
    lag = max(1, round(MOVE_SECONDS * rate))
    moved = np.full_like(mouths, np.nan)
    moved[lag:] = np.abs(mouths[lag:] - mouths[:-lag])
    half = round(SPEECH_SECONDS / 2 * rate)
    windows = [moved[max(0, index - half) : index + half + 1] for index in range(len(moved))]
    known = np.array([np.isfinite(window).sum(axis=0) for window in windows])
    sums = np.array([np.nansum(window, axis=0) for window in windows])
    return np.asarray(np.clip(sums / np.maximum(known, 1) / SPEECH_MOVEMENT, 0, 1))


def _best_path(points: Float[np.ndarray, "frames persons"], change: float) -> Int[np.ndarray, " frames"]:
    """Return who earns most in all where every change of person costs points (Viterbi's algorithm)."""
    best = np.zeros_like(points[0])
    before = np.zeros(points.shape, int)  # who was followed a frame earlier, if this person is now
    for frame, earned in enumerate(points):
        leader = int(best.argmax())
        stays = best >= best[leader] - change
        before[frame] = np.where(stays, np.arange(len(best)), leader)
        best = np.where(stays, best, best[leader] - change) + earned
    path = [int(best.argmax())]
    for row in before[:0:-1]:
        path.append(int(row[path[-1]]))
    return np.array(path[::-1])
