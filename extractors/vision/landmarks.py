"""Faces in an image, however small, by MediaPipe's landmarker."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from extractors.assets.registry import asset
from extractors.vision import outline
from extractors.vision.outline import Outline

if TYPE_CHECKING:
    import mediapipe as mp
    from mediapipe.tasks.python import vision
    from mediapipe.tasks.python.components.containers.category import Category
    from mediapipe.tasks.python.components.containers.landmark import NormalizedLandmark

MIN_CONFIDENCE = 0.3  # a face must span about 10.5 % of the image's longer side; .5 needs 14 %
MAX_FACES = 4  # that are distinguished in an image
TILE_SHARES = (0.6, 0.3)  # of the longer side; in the smaller tiles a face of 5 % spans 17 %
TILE_OVERLAP = 0.2  # of a tile: a face of 5 % of the image lies whole in one of the small tiles
MIN_TILE = 160  # pixels; a face that needs smaller tiles has too few pixels to be described
MOST = 0.5  # of the smaller box's area
WINDOW = 3.0  # side of the window around a small face, in sides of the face's box
LIPS = [13, 14]  # landmarks of the inner lips' middle
ANCHORS = [33, 263, 152]  # landmarks of the outer corners of the eyes and of the chin
HEIGHT = [10, 152]  # landmarks of the forehead's top and the chin


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in pixels, from the image's upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def side(self) -> float:
        """The longer side."""
        return max(self.width, self.height)

    @property
    def area(self) -> float:
        """In square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y)."""
        return self.x + self.width / 2, self.y + self.height / 2

    def is_near(self, other: Box) -> bool:
        """Whether both may be one face a moment apart: centres closer than a side, sides within a factor of 2."""
        large = max(self.side, other.side)
        return math.dist(self.centre, other.centre) < large < 2 * min(self.side, other.side)

    def covers(self, other: Box) -> bool:
        """Whether most of the smaller of both lies in the other: one face found twice, or a part of it."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return width > 0 and height > 0 and width * height > MOST * min(self.area, other.area)

    def turned(self, quarters: int, width: float, height: float) -> Box:
        """Return the box in an image of this size that was turned by quarters anticlockwise."""
        box = self
        for _ in range(quarters % 4):
            box = Box(x=box.y, y=width - box.x - box.width, width=box.height, height=box.width)
            width, height = height, width
        return box


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face found in a frame.

    Attributes:
        box: In the whole image.
        blendshapes: MediaPipe's 52, in [0, 1].
        matrix: 4 x 4, from the face's to the camera's axes.
        mouth: Opening between the lips, in heights of the face.
        anchors: (x, y) of `ANCHORS` in pixels of the whole image.
        outline: In shares of the box.
        cover: Log odds that the mouth is covered (`extractors.vision.covering`); None where nobody looked.
    """

    box: Box
    blendshapes: tuple[float, ...]
    matrix: np.ndarray
    mouth: float
    anchors: Float[np.ndarray, "3 2"]
    outline: Outline
    cover: float | None = None


def find_all(still: vision.FaceLandmarker, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
    """Return up to `MAX_FACES` faces that the whole image shows at once, each once, the largest first.

    Args:
        still: As `landmarker` gives it.
        image: RGB.
    """
    return distinct(_read(still, image, _whole_of(image)))


def find_next(stream: vision.FaceLandmarker, image: UInt8[np.ndarray, "height width 3"], second: float) -> Face | None:
    """Return the one face in the next whole image of a stream.

    Args:
        stream: As `landmarker` gives it, which remembers the images before.
        image: RGB.
        second: Of the clip, later by at least 1 ms than that of the image before.
    """
    found = _faces(stream.detect_for_video(media_image(image), round(1000 * second)), _whole_of(image))
    return found[0] if found else None


def find_near(still: vision.FaceLandmarker, image: UInt8[np.ndarray, "height width 3"], box: Box) -> Face | None:
    """Return the face near a box, read from a window around it: also where the whole image is too coarse for it."""
    near = [face for face in _read(still, image, window(image, box)) if face.box.is_near(box)]
    return min(near, key=lambda face: math.dist(face.box.centre, box.centre), default=None)


def mesh_near(
    still: vision.FaceLandmarker, image: UInt8[np.ndarray, "height width 3"], box: Box
) -> Float[np.ndarray, "points 2"] | None:
    """Return the 478 points (x, y in pixels of the image) of the face near a box; None where there is none."""
    part = window(image, box)
    found = still.detect(media_image(part_of(image, part))).face_landmarks
    meshes = [_points(landmarks, part) for landmarks in found]
    near = [mesh for mesh in meshes if _box_of(mesh).is_near(box)]
    return min(near, key=lambda mesh: math.dist(_box_of(mesh).centre, box.centre), default=None)


def search(still: vision.FaceLandmarker, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
    """Look for any faces, first in the whole image, then in smaller and smaller overlapping tiles.

    Returns:
        Up to `MAX_FACES` faces, the largest first, each read from a window around it.
    """
    for share in (1.0, *TILE_SHARES):
        if share < 1 and round(share * max(image.shape[:2])) < MIN_TILE:
            break
        parts = [cut(image, *tile) for tile in tiles(image, share)]
        if faces := apart([face for part in parts for face in _read(still, image, part)]):
            windows = [find_near(still, image, face.box) for face in faces[:MAX_FACES]]
            return apart([face for face in windows if face is not None])
    return []


def distinct(faces: Sequence[Face]) -> list[Face]:
    """Return the faces of one image that do not lie in each other, the largest first."""
    kept: list[Face] = []
    for face in _largest_first(faces):
        if not any(face.box.covers(other.box) for other in kept):
            kept.append(face)
    return kept


def apart(faces: Sequence[Face]) -> list[Face]:
    """Return each face once, the largest first: windows and tiles overlap, and parts of a face pass for small ones."""
    kept: list[Face] = []
    for face in _largest_first(faces):
        if not any(face.box.is_near(other.box) or face.box.covers(other.box) for other in kept):
            kept.append(face)
    return kept


@contextmanager
def landmarker(*, still: bool = False) -> Iterator[vision.FaceLandmarker]:
    """Yield a landmarker for one clip; creating one takes only 20 ms.

    Args:
        still: For single images of up to `MAX_FACES` faces; else for a stream of one face, whose frames it remembers.

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
    with vision.FaceLandmarker.create_from_options(options) as model:
        yield model


def media_image(image: np.ndarray) -> mp.Image:
    """Return an RGB image as MediaPipe takes it."""
    import mediapipe as mp

    return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))


def part_of(image: np.ndarray, part: Box) -> np.ndarray:
    """Return the pixels of a box that lies in the image."""
    x, y, right, bottom = (round(edge) for edge in (part.x, part.y, part.x + part.width, part.y + part.height))
    return image[y:bottom, x:right]


def _whole_of(image: np.ndarray) -> Box:
    height, width = image.shape[:2]
    return Box(x=0.0, y=0.0, width=float(width), height=float(height))


def _read(still: vision.FaceLandmarker, image: np.ndarray, part: Box) -> list[Face]:
    return _faces(still.detect(media_image(part_of(image, part))), part)


def _faces(result: vision.FaceLandmarkerResult, part: Box) -> list[Face]:
    """Return the faces found in a part of the image, with boxes in the whole."""
    found = zip(
        result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=False
    )  # which are not there for a face that is found but not described
    return [_face(_points(landmarks, part), shapes, matrix) for landmarks, shapes, matrix in found]


def _points(landmarks: Sequence[NormalizedLandmark], part: Box) -> Float[np.ndarray, "points 2"]:
    """Return landmarks of a part of the image in pixels of the whole."""
    shares = np.array([(point.x, point.y) for point in landmarks])
    return shares * (part.width, part.height) + (part.x, part.y)


def _box_of(points: Float[np.ndarray, "points 2"]) -> Box:
    (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return Box(x=float(x), y=float(y), width=float(right - x), height=float(bottom - y))


def _face(points: Float[np.ndarray, "points 2"], shapes: Sequence[Category], matrix: np.ndarray) -> Face:
    return Face(
        box=_box_of(points),
        blendshapes=tuple(shape.score for shape in shapes),
        matrix=matrix,
        mouth=math.dist(*points[LIPS]) / max(math.dist(*points[HEIGHT]), 1.0),
        anchors=points[ANCHORS],
        outline=outline.of_mesh(points),
    )


def window(image: np.ndarray, box: Box) -> Box:
    """Return the part of the image around a face's box."""
    side = round(WINDOW * box.side)
    return cut(image, round(box.centre[0] - side / 2), round(box.centre[1] - side / 2), side)


def cut(image: np.ndarray, x: int, y: int, side: int) -> Box:
    """Return the part of a square that lies in the image."""
    height, width = image.shape[:2]
    left, top = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    right, bottom = np.clip(x + side, left + 1, width), np.clip(y + side, top + 1, height)
    return Box(x=float(left), y=float(top), width=float(right - left), height=float(bottom - top))


def tiles(image: np.ndarray, share: float) -> list[tuple[int, int, int]]:
    """Return (left, top, side) of overlapping squares that cover an image, of a share of its longer side."""
    height, width = image.shape[:2]
    side = round(share * max(height, width))
    return [(x, y, side) for y in _offsets(height, side) for x in _offsets(width, side)]


def _offsets(length: int, side: int) -> list[int]:
    """Return where tiles begin that cover a length and overlap by at least `TILE_OVERLAP`."""
    if side >= length:
        return [0]
    count = 1 + int(np.ceil((length - side) / ((1 - TILE_OVERLAP) * side)))
    return [round(offset) for offset in np.linspace(0, length - side, count)]


def _largest_first(faces: Sequence[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: face.box.area, reverse=True)
