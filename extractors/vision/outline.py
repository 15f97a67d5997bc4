"""The outline of a face: 60 of MediaPipe's 478 points and the lines between them, small enough to travel with a clip.

Indices are those of MediaPipe's face mesh (`FaceLandmarksConnections`); left and right are the person's own.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

STEPS = 255  # of a share, from one edge of the face's box to the other

# fmt: off
MESH_LINES: dict[str, tuple[int, ...]] = {  # ends where it begins if closed
    "oval": (10, 297, 284, 389, 454, 361, 397, 379, 400, 152, 176, 150, 172, 132, 234, 162, 54, 67, 10),
    "left brow": (300, 293, 334, 296, 336),
    "right brow": (70, 63, 105, 66, 107),
    "left eye": (263, 388, 386, 384, 362, 381, 374, 390, 263),
    "right eye": (33, 161, 159, 157, 133, 154, 145, 163, 33),
    "lips": (61, 40, 37, 0, 267, 270, 291, 321, 17, 91, 61),
    "bridge of the nose": (168, 197, 4),
    "base of the nose": (98, 2, 327),
}
# fmt: on
MESH_POINTS = tuple(dict.fromkeys(point for line in MESH_LINES.values() for point in line))
LINES = tuple(tuple(map(MESH_POINTS.index, line)) for line in MESH_LINES.values())
"""Each line's places in an outline."""

Outline = UInt8[np.ndarray, "points 2"]
"""Shares (x, y) of the face's box in `STEPS`, one row per entry of `MESH_POINTS`."""


def of_mesh(mesh: Float[np.ndarray, "mesh 2"]) -> Outline:
    """Return the outline of a face.

    Args:
        mesh: All of MediaPipe's points; the face's box is the smallest that holds them.
    """
    low, high = mesh.min(axis=0), mesh.max(axis=0)
    shares = (mesh[list(MESH_POINTS)] - low) / np.maximum(high - low, 1e-9)
    outline: Outline = np.rint(STEPS * np.clip(shares, 0, 1)).astype(np.uint8)
    return outline


def turned(outline: Outline, quarters: int) -> Outline:
    """Return an outline in an image that was turned by quarters anticlockwise.

    >>> turned(np.array([[0, 0], [255, 10]], np.uint8), 1).tolist()
    [[0, 255], [10, 0]]
    """
    for _ in range(quarters % 4):
        outline = np.stack([outline[:, 1], STEPS - outline[:, 0]], axis=1)
    return outline


def none() -> Outline:
    """Return what stands for the outline of a face that is not there."""
    return np.zeros((len(MESH_POINTS), 2), np.uint8)
