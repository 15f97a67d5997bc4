"""Whose face it is: one person followed through a clip, however small, by MediaPipe's landmarker."""

from __future__ import annotations

import math
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from extractors.assets import asset

if TYPE_CHECKING:
    import mediapipe as mp
    from mediapipe.tasks.python import vision

MIN_CONFIDENCE = 0.3  # a face must span about 10.5 % of the picture's longer side; .5 needs 14 %
MAX_FACES = 4  # that a look around tells apart
LOOK_SECONDS = 3.0  # between looks for other faces; one costs as much as a frame
SEARCH_SECONDS = (
    1.0  # between searches in tiles while no face is known; 17 tiles without a face cost as much as 3 frames with one
)
LOST_SECONDS = 0.5  # without its face, after which another person is followed
TILE_SHARES = (0.6, 0.3)  # of the longer side; in the smaller tiles a face of 5 % spans 17 %
TILE_OVERLAP = 0.2  # of a tile: a face of 5 % of the picture lies whole in one of the small tiles
MIN_TILE = 160  # pixels; a face that needs smaller tiles has too few pixels to be described
WINDOW = 3.0  # side of the window around a small face, in sides of the face's box

CHATTER = re.compile(
    r"^WARNING: Logging before InitGoogle|^W0000 .*(face_landmarker_graph|inference_feedback_manager)\.cc"
    r"|^INFO: Created TensorFlow Lite XNNPACK delegate"
)
_stderr_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in pixels, from the picture's upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def side(self) -> float:
        """The longer side."""
        return max(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y)."""
        return self.x + self.width / 2, self.y + self.height / 2

    def is_near(self, other: Box) -> bool:
        """Whether both may be one face a moment apart: centres closer than a side, sides within a factor of 2."""
        large = max(self.side, other.side)
        return math.dist(self.centre, other.centre) < large < 2 * min(self.side, other.side)


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face found in a frame: its box in the whole picture, blendshapes and pose matrix."""

    box: Box
    blendshapes: tuple[float, ...]
    matrix: np.ndarray


class Follower:
    """Finds one person's face frame by frame.

    The rule: the face largest at first is followed, from frame to frame the one near its last box. Where it is not
    found for `LOST_SECONDS` the face then largest takes its place; at once, if the clip has shown no two faces at a
    time so far (a cut). Others are looked for every `LOOK_SECONDS`.

    A followed face that the whole picture's landmarker does not give, because it is small or another face is clearer,
    is read from a window around it. While no face is known, the picture is searched in overlapping tiles every
    `SEARCH_SECONDS`. Windows and tiles are read frame by frame, without the smoothing over time of `whole`.

    Args:
        whole: Of one face in a stream of whole pictures.
        still: Of `MAX_FACES` faces in any picture.

    Attributes:
        most: Faces seen at once so far.
        enlarged: Frames read from a window so far.
    """

    def __init__(self, whole: vision.FaceLandmarker, still: vision.FaceLandmarker) -> None:
        self.most = 0
        self.enlarged = 0
        self._whole = whole
        self._still = still
        self._box: Box | None = None  # of the followed face, where it was last
        self._seen = 0.0  # s, when it was there
        self._windowed = False
        self._next_look = -np.inf  # s
        self._next_search = -np.inf  # s

    def find(self, picture: UInt8[np.ndarray, "height width 3"], second: float) -> Face | None:
        """Return the followed face in the next frame, None where it is not found.

        Args:
            picture: RGB.
            second: Of the clip, later by at least 1 ms than that of the frame before.
        """
        if second >= self._next_look:
            self._look(picture, second)
        face = None if self._windowed else self._in_whole(picture, second)
        if face is None and self._box is not None:
            face = self._in_window(picture, self._box)
        if face is None and self._is_lost(second):
            self._box, self._windowed, self._next_search = None, False, second
        if face is None and self._box is None and second >= self._next_search:
            face = self._search(picture, second)
        if face is not None:
            self._box, self._seen = face.box, second
            self.most = max(self.most, 1)
        return face

    def _is_lost(self, second: float) -> bool:
        if self._box is None:
            return False
        return second - self._seen >= LOST_SECONDS or (self._windowed and self.most < 2)

    def _look(self, picture: np.ndarray, second: float) -> None:
        """Count the faces in the whole picture; start with the largest, leave the window if it is the only one."""
        self._next_look = second + LOOK_SECONDS
        faces = _faces(self._still.detect(_image(picture)), _whole_of(picture))
        self.most = max(self.most, len(faces))
        if self._box is None and faces:
            self._box, self._seen = _largest(faces).box, second
        elif len(faces) == 1 and self._box is not None and faces[0].box.is_near(self._box):
            self._windowed = False

    def _in_whole(self, picture: np.ndarray, second: float) -> Face | None:
        result = self._whole.detect_for_video(_image(picture), round(1000 * second))
        faces = _faces(result, _whole_of(picture))
        alone = self._box is None or self.most < 2
        return next((face for face in faces if alone or face.box.is_near(self._box)), None)

    def _in_window(self, picture: np.ndarray, box: Box) -> Face | None:
        """Read the face near a box from a square around it."""
        side = round(WINDOW * box.side)
        window = _cut(picture, round(box.centre[0] - side / 2), round(box.centre[1] - side / 2), side)
        near = [face for face in self._read(picture, window) if face.box.is_near(box)]
        if not near:
            return None
        self._windowed = True
        self.enlarged += 1
        return min(near, key=lambda face: math.dist(face.box.centre, box.centre))

    def _search(self, picture: np.ndarray, second: float) -> Face | None:
        """Look for any face, first in the whole picture, then in smaller and smaller tiles; take the largest."""
        self._next_search = second + SEARCH_SECONDS
        height, width = picture.shape[:2]
        for share in (1.0, *TILE_SHARES):
            side = round(share * max(height, width))
            if share < 1 and side < MIN_TILE:
                break
            tiles = [_cut(picture, x, y, side) for y in _offsets(height, side) for x in _offsets(width, side)]
            if faces := [face for tile in tiles for face in self._read(picture, tile)]:
                self.most = max(self.most, _count(faces))
                return self._in_window(picture, _largest(faces).box)
        return None

    def _read(self, picture: np.ndarray, part: Box) -> list[Face]:
        x, y, right, bottom = (round(edge) for edge in (part.x, part.y, part.x + part.width, part.y + part.height))
        return _faces(self._still.detect(_image(picture[y:bottom, x:right])), part)


@contextmanager
def landmarker(*, still: bool = False) -> Iterator[vision.FaceLandmarker]:
    """Yield a landmarker for one clip; creating one takes only 20 ms.

    Args:
        still: For single pictures of up to `MAX_FACES` faces; else for a stream of one face, whose frames it remembers.

    Raises:
        AssetError: If the model file cannot be had.
    """
    path = asset("face_landmarker")
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(path)),
        running_mode=vision.RunningMode.IMAGE if still else vision.RunningMode.VIDEO,
        num_faces=MAX_FACES if still else 1,
        min_face_detection_confidence=MIN_CONFIDENCE,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with _without_chatter():
        model = vision.FaceLandmarker.create_from_options(options)
    with model:
        yield model


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back what MediaPipe's native code says of every new landmarker; all other lines are passed on.

    It writes to the file descriptor itself and offers no setting for it.
    """
    with _stderr_lock, tempfile.TemporaryFile() as caught:
        sys.stderr.flush()
        screen = os.dup(2)
        try:
            os.dup2(caught.fileno(), 2)
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not CHATTER.search(line):
                    print(line, file=sys.stderr)


def _image(picture: np.ndarray) -> mp.Image:
    import mediapipe as mp

    return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture))


def _whole_of(picture: np.ndarray) -> Box:
    height, width = picture.shape[:2]
    return Box(x=0.0, y=0.0, width=float(width), height=float(height))


def _faces(result: vision.FaceLandmarkerResult, part: Box) -> list[Face]:
    """Return the faces found in a part of the picture, with boxes in the whole."""
    found = zip(
        result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=False
    )  # which are not there for a face that is found but not described
    return [
        Face(box=_box(landmarks, part), blendshapes=tuple(shape.score for shape in shapes), matrix=matrix)
        for landmarks, shapes, matrix in found
    ]


def _box(landmarks: Sequence[vision.NormalizedLandmark], part: Box) -> Box:
    points = np.array([(point.x, point.y) for point in landmarks]) * (part.width, part.height) + (part.x, part.y)
    (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return Box(x=float(x), y=float(y), width=float(right - x), height=float(bottom - y))


def _cut(picture: np.ndarray, x: int, y: int, side: int) -> Box:
    """Return the part of a square that lies in the picture."""
    height, width = picture.shape[:2]
    left, top = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    right, bottom = np.clip(x + side, left + 1, width), np.clip(y + side, top + 1, height)
    return Box(x=float(left), y=float(top), width=float(right - left), height=float(bottom - top))


def _offsets(length: int, side: int) -> list[int]:
    """Return where tiles begin that cover a length and overlap by at least `TILE_OVERLAP`."""
    if side >= length:
        return [0]
    count = 1 + int(np.ceil((length - side) / ((1 - TILE_OVERLAP) * side)))
    return [round(offset) for offset in np.linspace(0, length - side, count)]


def _largest(faces: Sequence[Face]) -> Face:
    return max(faces, key=lambda face: face.box.width * face.box.height)


def _count(faces: Sequence[Face]) -> int:
    """Count the faces found in overlapping tiles, each once."""
    apart: list[Face] = []
    for face in faces:
        if not any(face.box.is_near(other.box) for other in apart):
            apart.append(face)
    return len(apart)
