"""Faces by the detector inside MediaPipe's landmarker, with a confidence: turned, covered and blurred ones too."""

from __future__ import annotations

import functools
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from extractors.assets.registry import asset
from extractors.vision.landmarks import Box, media_image

if TYPE_CHECKING:
    from mediapipe.tasks.python import vision

MEMBER = "face_detector.tflite"  # of the landmarker's file, whose hash is checked
LEAST_CONFIDENCE = 0.05  # of a detection that is returned


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A face as the detector sees it.

    Attributes:
        box: In pixels of the image.
        confidence: In [0, 1].
        points: (x, y) in pixels of the right and left eye, the tip of the nose and the mouth.
    """

    box: Box
    confidence: float
    points: Float[np.ndarray, "4 2"]

    @property
    def turned(self) -> float:
        """How far the nose lies from the middle between the eyes, in distances of the eyes: about 0 from the front."""
        right, left, nose, _mouth = self.points
        along = (left - right) / max(math.dist(left, right), 1.0)
        return abs(float(np.dot(nose - (left + right) / 2, along))) / max(math.dist(left, right), 1.0)


@contextmanager
def detector() -> Iterator[vision.FaceDetector]:
    """Yield a detector for single images; creating one takes a few milliseconds.

    Raises:
        AssetError: If the model file cannot be had.
    """
    asset("face_landmarker")
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceDetectorOptions(
        base_options=BaseOptions(model_asset_buffer=_model()),
        running_mode=vision.RunningMode.IMAGE,
        min_detection_confidence=LEAST_CONFIDENCE,
    )
    with vision.FaceDetector.create_from_options(options) as model:
        yield model


@functools.cache
def _model() -> bytes:
    with zipfile.ZipFile(asset("face_landmarker")) as bundle:
        return bundle.read(MEMBER)


def best(model: vision.FaceDetector, image: UInt8[np.ndarray, "height width 3"]) -> Detection | None:
    """Return the most certain face in an image.

    Args:
        model: As `detector` gives it.
        image: RGB.
    """
    height, width = image.shape[:2]
    found = model.detect(media_image(image)).detections
    first = max(found, key=lambda detection: detection.categories[0].score, default=None)
    if first is None:
        return None
    box = first.bounding_box
    return Detection(
        box=Box(x=float(box.origin_x), y=float(box.origin_y), width=float(box.width), height=float(box.height)),
        confidence=float(first.categories[0].score),
        points=np.array([(point.x * width, point.y * height) for point in first.keypoints[:4]]),
    )
