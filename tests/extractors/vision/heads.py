"""Heads turned to the side, made of portraits by way of MediaPipe's mesh."""

from __future__ import annotations

import cv2
import numpy as np
from mediapipe.tasks.python.vision import FaceLandmarksConnections

from extractors.vision.landmarks import landmarker, media_image

EDGES = [(edge.start, edge.end) for edge in FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION]
TRIANGLES = [(EDGES[i][0], EDGES[i][1], EDGES[i + 1][1]) for i in range(0, len(EDGES), 3)]
FOREHEAD, CHIN = 10, 152


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """A portrait whose face is turned to the side, on a plain head and neck."""
    height, width = image.shape[:2]
    with landmarker(still=True) as still:
        found = still.detect(media_image(image)).face_landmarks[0]
    mesh = np.array([(point.x * width, point.y * height, point.z * width) for point in found])
    middle = mesh.mean(axis=0)
    middle[2] = mesh[:, 2].max()
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    moved = (mesh - middle) @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) + middle
    out = _head(image, mesh, middle)
    for triangle in sorted(TRIANGLES, key=lambda corners: -moved[list(corners), 2].mean()):
        before, after = (points[list(triangle), :2].astype(np.float32) for points in (mesh, moved))
        if _area(before) * _area(after) > 0:  # else its back is seen
            _draw(out, image, before, after)
    return out


def _area(corners: np.ndarray) -> float:
    """Twice the area of a triangle, negative where its corners run the other way round."""
    (ax, ay), (bx, by) = corners[1] - corners[0], corners[2] - corners[0]
    return float(ax * by - ay * bx)


def _head(image: np.ndarray, mesh: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The blurred picture with an ellipse of hair and a neck of skin."""
    out = cv2.GaussianBlur(image, (0, 0), 25)
    (x, top), bottom = mesh[FOREHEAD, :2].astype(int), int(mesh[CHIN, 1])
    side = bottom - top
    hair, skin = (tuple(map(int, image[row, x])) for row in (max(0, top - 60), top + 10))
    cv2.ellipse(out, (int(middle[0]), int(top + 0.25 * side)), (int(0.62 * side), int(0.6 * side)), 0, 0, 360, hair, -1)
    left, right = (int(middle[0] + sign * 0.3 * side) for sign in (-1, 1))
    cv2.rectangle(out, (left, int(bottom - 0.3 * side)), (right, int(bottom + 0.5 * side)), skin, -1)
    return out


def _draw(out: np.ndarray, image: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    left, top = np.maximum(np.floor(after.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(after.max(axis=0)).astype(int) + 2, image.shape[1::-1])
    if right <= left or bottom <= top:
        return
    place = (after - (left, top)).astype(np.float32)
    patch = cv2.warpAffine(
        image, cv2.getAffineTransform(before, place), (right - left, bottom - top), borderMode=cv2.BORDER_REFLECT
    )
    mask = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.rint(16 * place).astype(np.int32), 255, cv2.LINE_AA, 4)
    out[top:bottom, left:right][mask > 100] = patch[mask > 100]
