"""Stills: images of a clip at chosen moments, cropped to the face, with MediaPipe's mesh drawn on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from extractors.media import probe
from extractors.media.probe import LIMITS, Limits
from extractors.messages import Message
from extractors.vision.facial import FRAME_RATE
from extractors.vision.landmarks import Box, landmarker, mesh_near
from extractors.vision.turning import turned

if TYPE_CHECKING:
    from mediapipe.tasks.python import vision

SIDE = 224  # pixels of a still
MARGIN = 1.7  # side of a still, in sides of the face's box
MAX_STILLS = 12
JPEG_QUALITY = 85
MESH = (160, 230, 60)  # RGB
MESH_SHARE = 0.4  # of the mesh's colour in what is drawn


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A moment of a clip, and where the face is then.

    Attributes:
        second: Start of a step of the face's features, from the start of the clip.
        box: x, y (upper left corner), width and height as shares of the image; None where no face was found.
        quarters: By which the image is turned anticlockwise to be upright (`quarters_of`).
    """

    second: float
    box: tuple[float, float, float, float] | None
    quarters: int = 0

    def __post_init__(self) -> None:
        numbers = np.array([self.second, *(self.box or ())], float)
        if not np.isfinite(numbers).all() or self.second < 0:
            raise ValueError(f"moment: {self}, expected finite numbers and a second of at least 0")


def stills(
    path: Path | str, moments: Sequence[Moment], *, rate: float = FRAME_RATE, limits: Limits = LIMITS
) -> Iterator[bytes]:
    """Make an image of each moment.

    Args:
        path: A clip.
        moments: With rising seconds, at most `MAX_STILLS`.
        rate: Frames per second, by which the seconds were made.
        limits: What the clip may cost.

    Yields:
        JPEGs, in the order of the moments; fewer where the clip ends before.

    Raises:
        MediaError: As `extractors.media.video.decode_frames`.
        ValueError: If there are too many moments, or their seconds do not rise.
        AssetError: If the model file cannot be had.
    """
    seconds = [moment.second for moment in moments]
    if len(moments) > MAX_STILLS or sorted(set(seconds)) != seconds:
        raise ValueError(f"moments: {seconds}, expected at most {MAX_STILLS} with rising seconds")
    waiting = list(moments)
    with landmarker(still=True) as model:
        for second, image in probe.decode_frames(path, rate, limits):
            if not waiting:
                return
            if second >= waiting[0].second - 0.5 / rate:
                yield _jpeg(_still(model, image, waiting.pop(0)))


def quarters_of(notes: Iterable[Message]) -> int:
    """Return by how many quarters a clip's images are turned anticlockwise to be upright, as its notes say."""
    degrees = next((int(note.values["degrees"]) for note in notes if note.code == "video_turned"), 0)
    return -degrees // 90 % 4


def _still(model: vision.FaceLandmarker, image: UInt8[np.ndarray, "height width 3"], moment: Moment) -> np.ndarray:
    height, width = image.shape[:2]
    image, box = turned(image, moment.quarters), moment.box
    if box is None:
        return _square(image, None)
    place = Box(x=box[0] * width, y=box[1] * height, width=box[2] * width, height=box[3] * height)
    place = place.turned(moment.quarters, float(width), float(height))
    mesh = mesh_near(model, image, place)
    return _square(image if mesh is None else _drawn(image, mesh), place)


def _drawn(image: np.ndarray, mesh: Float[np.ndarray, "points 2"]) -> np.ndarray:
    """Draw MediaPipe's triangles over a face."""
    from mediapipe.tasks.python.vision import FaceLandmarksConnections

    lines = [[mesh[edge.start], mesh[edge.end]] for edge in FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION]
    over = image.copy()
    cv2.polylines(
        over, list(np.rint(lines).astype(np.int32)), isClosed=False, color=MESH, thickness=1, lineType=cv2.LINE_AA
    )
    return cv2.addWeighted(over, MESH_SHARE, image, 1 - MESH_SHARE, 0)


def _square(image: np.ndarray, box: Box | None) -> UInt8[np.ndarray, "side side 3"]:
    """Cut a square around a face, or the middle of the image, and scale it."""
    height, width = image.shape[:2]
    side = min(height, width) if box is None else min(round(MARGIN * box.side), height, width)
    x, y = (width / 2, height / 2) if box is None else box.centre
    left = int(np.clip(round(x - side / 2), 0, width - side))
    top = int(np.clip(round(y - side / 2), 0, height - side))
    part = np.ascontiguousarray(image[top : top + side, left : left + side])
    return cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC)


def _jpeg(image: np.ndarray) -> bytes:
    _done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()
