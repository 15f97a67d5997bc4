"""A still portrait made to speak: its face landmarks are moved and the image follows (piecewise affine)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from mediapipe.tasks.python.vision import FaceLandmarksConnections
from scipy.spatial import Delaunay, cKDTree

FACE_VERTICES = 468  # MediaPipe's face mesh; its further ten landmarks are irises
BACKGROUND_STEP = 24  # pixels between vertices of the image around the face
SHIFT_BLUR = 1.3  # pixels

# Landmarks from the image's left to its right.
INNER_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIDS = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
MOUTH_CORNERS = (61, 291)
CHIN = 152

# How a mood moves the face: (landmark on the image's left, its mirror, outwards, down, radius), in eye distances.
SMILE = (
    (61, 291, 0.09, -0.11, 0.32),
    (50, 280, 0.01, -0.06, 0.30),
    (145, 374, 0.00, -0.03, 0.12),
)
FROWN = (
    (61, 291, 0.03, 0.17, 0.25),
    (55, 285, -0.04, 0.09, 0.18),
    (52, 282, -0.02, 0.08, 0.20),
    (159, 386, 0.00, 0.03, 0.12),
    (17, 17, 0.00, -0.06, 0.20),
    (0, 0, 0.00, -0.05, 0.15),
)
JAW_DROP = 0.34  # eye distances that the lower lip falls at jaw = 1
UPPER_LIP_LIFT = 0.05  # eye distances at jaw = 1
THROAT = (46, 16, 18)  # RGB of the open mouth
TONGUE = (138, 66, 64)
TEETH = (216, 190, 166)


@dataclass(frozen=True, kw_only=True)
class Expression:
    """What the face does in one frame; all zero is the portrait as it is.

    Attributes:
        jaw: 0 closed to 1 open.
        smile: 0 to 1.
        frown: 0 to 1.
        blink: 0 open eyes to 1 closed.
        yaw: Radians, positive turns towards the image's right.
        pitch: Radians, positive nods down.
        roll: Radians, positive leans clockwise.
    """

    jaw: float = 0.0
    smile: float = 0.0
    frown: float = 0.0
    blink: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


def face_triangles() -> Int[np.ndarray, "triangles 3"]:
    """MediaPipe's face mesh and the eye openings, which it leaves out; the mouth stays a hole."""
    edges = FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION  # three edges in a row make a triangle
    skin = [[edge.start for edge in edges[i : i + 3]] for i in range(0, len(edges), 3)]
    return np.array(skin + [triangle for upper, lower in LIDS for triangle in strip(upper, lower)])


def strip(first: tuple[int, ...], second: tuple[int, ...]) -> list[list[int]]:
    """Triangles between two rows of vertices of the same length."""
    pairs = range(len(first) - 1)
    return [[first[i], first[i + 1], second[i]] for i in pairs] + [
        [first[i + 1], second[i + 1], second[i]] for i in pairs
    ]


def smoothstep(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Rise from 0 at x <= 0 to 1 at x >= 1 without a kink."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


class Portrait:
    """An image with one face that can be shown with any `Expression`."""

    def __init__(self, *, image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 3"]):
        """Lay a mesh over the image.

        Args:
            image: RGB.
            landmarks: MediaPipe's, x, y and z in pixels of `image`.
        """
        self.image = image
        face = landmarks[:FACE_VERTICES].astype(np.float64)
        left, right = (face[list(corners), :2].mean(axis=0) for corners in ((33, 133), (362, 263)))
        self.unit = float(np.linalg.norm(right - left))  # pixels between the eyes
        self.across = (right - left) / self.unit
        self.down = np.array([-self.across[1], self.across[0]])
        self.depth = face[:, 2] - face[:, 2].mean()
        self.face = self._open_seam(face[:, :2])
        self.shows_teeth = bool(self._lip_gap(self.face).max() > 0.05 * self.unit)

        self.smile, self.frown = self._pushes(SMILE), self._pushes(FROWN)
        self.jaw, self.blink = self._jaw_field(), self._blink_field()
        self._lay_background()

    def render(self, expression: Expression) -> UInt8[np.ndarray, "height width 3"]:
        """Return the image with this expression."""
        lively = (
            self.face
            + expression.smile * self.smile
            + expression.frown * self.frown
            + expression.blink * self.blink
            + expression.jaw * self.jaw
        )
        moved = self._turn(lively, expression)
        upper, lower = moved[list(INNER_UPPER_LIP)], moved[list(INNER_LOWER_LIP)]
        teeth = self._teeth_edge(upper, lower)
        background = self.background + self.follow @ (moved - self.face)
        frame = self._warp(np.concatenate([moved, background, teeth]))
        return self._paint_mouth(frame, upper, teeth, lower)

    def _open_seam(self, face: Float[np.ndarray, "468 2"]) -> Float[np.ndarray, "468 2"]:
        """Part closed inner lips by half a pixel each, so that upper and lower never cross."""
        face = face.copy()
        for above, below in zip(INNER_UPPER_LIP[1:-1], INNER_LOWER_LIP[1:-1], strict=True):
            gap = (face[below] - face[above]) @ self.down
            if gap < 1:
                face[above] -= (1 - gap) / 2 * self.down
                face[below] += (1 - gap) / 2 * self.down
        return face

    @staticmethod
    def _lip_gap(face: Float[np.ndarray, "468 2"]) -> Float[np.ndarray, " 11"]:
        return np.linalg.norm(face[list(INNER_LOWER_LIP)] - face[list(INNER_UPPER_LIP)], axis=1)

    def _pushes(self, handles: tuple[tuple[int, int, float, float, float], ...]) -> Float[np.ndarray, "468 2"]:
        field = np.zeros_like(self.face)
        for left, right, outwards, down, radius in handles:
            for landmark, side in {(left, -1), (right, 1)} if left != right else {(left, 0)}:
                distance = np.linalg.norm(self.face - self.face[landmark], axis=1) / (radius * self.unit)
                push = side * outwards * self.across + down * self.down
                field += np.exp(-(distance**2))[:, None] * push * self.unit
        return field

    def _jaw_field(self) -> Float[np.ndarray, "468 2"]:
        """Lower lip and chin fall, most in the middle; the upper lip rises a little; the corners stay."""
        corners = self.face[list(MOUTH_CORNERS)]
        centre, half_width = corners.mean(axis=0), np.linalg.norm(corners[1] - corners[0]) / 2
        x, y = (self.face - centre) @ self.across, (self.face - centre) @ self.down
        seam = (self.face[list(INNER_UPPER_LIP)] + self.face[list(INNER_LOWER_LIP)]) / 2 - centre
        below_seam = (y - np.interp(x, seam @ self.across, seam @ self.down)) / self.unit
        lower = below_seam > 0
        lower[list(INNER_LOWER_LIP)] = True

        in_lip = np.clip(1 - (x / half_width) ** 2, 0, None) ** 0.6
        in_chin = np.exp(-((x / (1.5 * half_width)) ** 2))
        towards_chin = smoothstep(below_seam / 0.45)
        fall = np.where(lower, in_lip + (0.85 * in_chin - in_lip) * towards_chin, 0) * JAW_DROP
        lift = np.where(~lower, in_lip * np.exp(-((below_seam / 0.2) ** 2)), 0) * UPPER_LIP_LIFT
        return np.outer(fall - lift, self.down) * self.unit

    def _blink_field(self) -> Float[np.ndarray, "468 2"]:
        """Upper lids meet the lower ones; the skin above follows less and less."""
        field = np.zeros_like(self.face)
        for upper, lower in LIDS:
            lid = self.face[list(upper)]
            close = 0.95 * (self.face[list(lower)] - lid)
            distance, nearest = cKDTree(lid).query(self.face)
            above = (self.face - lid[nearest]) @ self.down <= 0
            above[list(lower)] = False
            field += np.where(above, np.exp(-((distance / (0.13 * self.unit)) ** 2)), 0)[:, None] * close[nearest]
        return field

    def _lay_background(self) -> None:
        """Vertices around the face; near it they follow its outline, far from it and at the edges they stay."""
        height, width = self.image.shape[:2]
        edges = FaceLandmarksConnections.FACE_LANDMARKS_FACE_OVAL
        oval = np.array([edge.start for edge in edges])
        outline = self.face[oval].astype(np.float32)
        columns = np.linspace(0, width, width // BACKGROUND_STEP + 1)
        rows = np.linspace(0, height, height // BACKGROUND_STEP + 1)
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        to_outline = np.array([-cv2.pointPolygonTest(outline, tuple(point), True) for point in grid.tolist()])
        self.background = grid[to_outline > BACKGROUND_STEP / 3]
        to_outline = to_outline[to_outline > BACKGROUND_STEP / 3]

        to_edge = np.minimum(self.background, [width, height] - self.background).min(axis=1)
        reach = 1.6 * self.unit
        weight = smoothstep(1 - to_outline / reach) * smoothstep(to_edge / self.unit)
        near = 1 / np.linalg.norm(self.background[:, None] - outline, axis=2) ** 3
        self.follow = np.zeros((len(self.background), FACE_VERTICES))
        self.follow[:, oval] = weight[:, None] * near / near.sum(axis=1, keepdims=True)

        vertices = np.concatenate([outline, self.background])
        names = np.concatenate([oval, FACE_VERTICES + np.arange(len(self.background))])
        around = Delaunay(vertices).simplices
        centres = vertices[around].mean(axis=1)
        outside = [cv2.pointPolygonTest(outline, tuple(point), False) < 0 for point in centres.tolist()]
        first_tooth = FACE_VERTICES + len(self.background)
        teeth = tuple(range(first_tooth, first_tooth + len(INNER_UPPER_LIP)))
        # Later triangles cover earlier ones: the face over what is around it, lips over teeth.
        mouth = strip(INNER_UPPER_LIP, teeth) + strip(teeth, INNER_LOWER_LIP)
        self.triangles = np.concatenate([names[around[outside]], mouth, face_triangles()])
        self.vertices = np.concatenate([self.face, self.background, self.face[list(INNER_LOWER_LIP)]])

    def _turn(self, face: Float[np.ndarray, "468 2"], expression: Expression) -> Float[np.ndarray, "468 2"]:
        """Small turns of the head about the neck; depth makes the nose move further than the ears."""
        neck = self.face[CHIN] + 0.6 * self.unit * self.down
        turned = face - self.depth[:, None] * (expression.yaw * self.across + expression.pitch * self.down)
        turned = turned + 1.2 * self.unit * (expression.yaw * self.across + expression.pitch * self.down)
        cos, sin = np.cos(expression.roll), np.sin(expression.roll)
        return (turned - neck) @ np.array([[cos, sin], [-sin, cos]]) + neck

    def _teeth_edge(
        self, upper: Float[np.ndarray, "11 2"], lower: Float[np.ndarray, "11 2"]
    ) -> Float[np.ndarray, "11 2"]:
        """Lower edge of what is seen of the upper teeth: they keep their size while the jaw falls."""
        gap = np.maximum(np.linalg.norm(lower - upper, axis=1), 1e-6)
        seen = self._lip_gap(self.face) if self.shows_teeth else np.minimum(0.35 * gap, 0.055 * self.unit)
        return upper + (lower - upper) * np.minimum(seen / gap, 1)[:, None]

    def _warp(self, moved: Float[np.ndarray, "vertices 2"]) -> UInt8[np.ndarray, "height width 3"]:
        """Show the image with every vertex at its new place."""
        height, width = self.image.shape[:2]
        corners = moved[self.triangles]
        owner = np.full((height, width), -1, np.int32)
        for index, polygon in enumerate(np.round(corners * 16).astype(np.int32)):
            cv2.fillConvexPoly(owner, polygon, index, shift=4)
        y, x = np.indices((height, width), dtype=np.float64)
        a, b, c = np.moveaxis(corners[owner], -2, 0)
        area = _cross(b - a, c - a)
        area = np.where(np.abs(area) < 1e-6, 1e-6, area)
        point = np.stack([x, y], axis=-1)
        weight_b, weight_c = _cross(point - a, c - a) / area, _cross(b - a, point - a) / area
        weights = np.clip(np.stack([1 - weight_b - weight_c, weight_b, weight_c], axis=-1), 0, None)
        weights /= weights.sum(axis=-1, keepdims=True)
        still = np.einsum("hwk,hwkd->hwd", weights, self.vertices[self.triangles][owner])
        # Where the outline folds over itself the shift jumps from pixel to pixel: smooth it.
        shift = cv2.GaussianBlur((still - point).astype(np.float32), None, SHIFT_BLUR)
        return cv2.remap(
            self.image, (point + shift).astype(np.float32), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )

    def _paint_mouth(
        self,
        frame: UInt8[np.ndarray, "height width 3"],
        upper: Float[np.ndarray, "11 2"],
        teeth: Float[np.ndarray, "11 2"],
        lower: Float[np.ndarray, "11 2"],
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Paint what the portrait never showed: throat, tongue and, where it has none, the teeth."""
        canvas = frame.astype(np.float64)
        top = teeth if self.shows_teeth else upper
        throat = self._mask(np.concatenate([top, lower[::-1]]))
        tongue = self._mask(np.concatenate([lower + 0.45 * (teeth - lower), lower[::-1]]), soft=0.05) * throat
        canvas += throat[..., None] * (np.array(THROAT) - canvas)
        canvas += 0.6 * tongue[..., None] * (np.array(TONGUE) - canvas)
        if not self.shows_teeth:
            row = self._mask(np.concatenate([upper[2:-2], teeth[-3:1:-1]]), soft=0.02) * throat
            canvas += 0.5 * row[..., None] * (np.array(TEETH) - canvas)
        return np.clip(np.round(canvas), 0, 255).astype(np.uint8)

    def _mask(self, polygon: Float[np.ndarray, "points 2"], soft: float = 0.015) -> Float[np.ndarray, "height width"]:
        """Coverage of a polygon, its edge softened by `soft` eye distances."""
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        return cv2.GaussianBlur(mask.astype(np.float64) / 255, None, soft * self.unit)


def _cross(a: Float[np.ndarray, "*shape 2"], b: Float[np.ndarray, "*shape 2"]) -> Float[np.ndarray, "*shape"]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
