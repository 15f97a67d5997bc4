"""Covered mouths: masks, hands and microphones in front of a face, from its lower half.

MediaPipe places a mouth wherever one should be, and its blendshapes there are made up: a face that smiles behind a mask
passes for a serious one. A linear model of shapes and colours between nose and chin, fitted by
`python -m training.data.corpora.covered_mouths` on real faces with drawn covers, tells such faces.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from safetensors.numpy import load_file

from extractors.vision.landmarks import Face

WEIGHTS = Path(__file__).with_name("covering.safetensors")

SIDE = 96  # pixels of the upright square to which a face is brought
ANCHORS = np.array([(16, 20), (80, 20), (48, 90)], np.float32)  # outer corners of the eyes and the chin in it
CHEEKS = (slice(32, 44), (slice(14, 30), slice(66, 82)))  # rows and columns, below the eyes: what skin looks like
UPPER = (slice(8, 44), slice(14, 82))  # whose contrast is the face's
LOWER = slice(46, 94)  # rows, from the tip of the nose to the chin
SHAPE_SIZE = (48, 32)  # width, height of the lower part whose gradients are counted
COLOUR_CELLS = (8, 6)  # columns, rows
LEAST_CONTRAST = 8.0  # of 255
MOST_COLOUR = 4.0  # contrasts, beyond which colours count alike
COLOUR_UNIT = 10.0  # of CIELAB's a and b
GREY, GREY_UNIT = 128.0, 40.0  # of 255: middle and contrast of the frame whose gradients are counted

TURNED_YAW = 0.45  # radians by which the landmarker sees a head turned aside, from which its mouth is not looked at
EXPOSED = (12.0, 235.0)  # mean of the cheeks, of 255, between which a mouth can be made out
LOOK_SECONDS = 0.2  # between looks at a mouth
AROUND_SECONDS = 0.5  # on each side of a frame, over which looks are averaged
ROUNDING_SECONDS = 1e-3  # of time stamps, by which a look at the edge may seem to lie beyond it
COVERED = 1.5  # mean log odds from which a mouth is covered; of single frames: training/results/mouth_cover.json
LEAST_LOOKS = 3  # within `AROUND_SECONDS`: a hand that passes covers nothing


def look(image: UInt8[np.ndarray, "height width 3"], face: Face) -> Face:
    """Return a face with the log odds that its mouth is covered; as it is where it is turned aside or ill exposed.

    Args:
        image: RGB, in which the face was found.
        face: As found.
    """
    yaw = np.arctan2(face.matrix[0, 2], face.matrix[2, 2])
    square = _square(image, face.anchors)
    skin = np.mean([square[CHEEKS[0], columns].mean() for columns in CHEEKS[1]])
    if abs(yaw) > TURNED_YAW or not EXPOSED[0] < skin < EXPOSED[1]:
        return face
    weights, bias = _model()
    return replace(face, cover=float(_describe(square) @ weights + bias))


def description(
    image: UInt8[np.ndarray, "height width 3"], anchors: Float[np.ndarray, "3 2"]
) -> Float32[np.ndarray, " columns"]:
    """Describe the lower half of a face: gradients, then colours against the cheeks, signed and by size.

    Args:
        image: RGB.
        anchors: Pixels (x, y) of the outer corners of the eyes and of the chin.
    """
    return _describe(_square(image, anchors))


def _square(image: np.ndarray, anchors: np.ndarray) -> UInt8[np.ndarray, "side side 3"]:
    upright = cv2.getAffineTransform(anchors.astype(np.float32), ANCHORS)
    return cv2.warpAffine(image, upright, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def _describe(square: UInt8[np.ndarray, "side side 3"]) -> Float32[np.ndarray, " columns"]:
    lab = cv2.cvtColor(cv2.GaussianBlur(square, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    skin = np.mean([lab[CHEEKS[0], columns].mean(axis=(0, 1)) for columns in CHEEKS[1]], axis=0)
    contrast = max(float(lab[UPPER][..., 0].std()), LEAST_CONTRAST)
    colours = (lab[LOWER] - skin) / (contrast, COLOUR_UNIT, COLOUR_UNIT)
    grey = np.clip(GREY + GREY_UNIT * colours[..., 0], 0, 255).astype(np.uint8)
    shapes = cv2.resize(grey, SHAPE_SIZE, interpolation=cv2.INTER_AREA)
    gradients = np.asarray(_gradients().compute(shapes), np.float32).ravel()
    cells = cv2.resize(colours.astype(np.float32), COLOUR_CELLS, interpolation=cv2.INTER_AREA)
    cells = np.clip(cells, -MOST_COLOUR, MOST_COLOUR).ravel()
    return np.concatenate([gradients, cells, np.abs(cells)]).astype(np.float32)


def covered(faces: list[Face | None], seconds: Float[np.ndarray, " frames"]) -> Bool[np.ndarray, " frames"]:
    """Tell in which frames the mouth of the followed face is covered: looks around agree on it.

    Args:
        faces: One a frame; None where there is none.
        seconds: From the start of the clip, rising.
    """
    scores = np.array([np.nan if face is None or face.cover is None else face.cover for face in faces], float)
    known = np.flatnonzero(~np.isnan(scores))
    around = AROUND_SECONDS + ROUNDING_SECONDS
    first = np.searchsorted(seconds[known], seconds - around, side="left")
    last = np.searchsorted(seconds[known], seconds + around, side="right")
    sums = np.concatenate([[0.0], np.cumsum(scores[known])])
    counts = last - first
    means = (sums[last] - sums[first]) / np.maximum(counts, 1)
    there = np.array([face is not None for face in faces], bool)
    agreed: Bool[np.ndarray, " frames"] = there & (counts >= LEAST_LOOKS) & (means >= COVERED)
    return agreed


def warm() -> None:
    """Load the model and run it once: OpenCV makes its tables of colours at first use."""
    _model()
    _describe(np.zeros((SIDE, SIDE, 3), np.uint8))


@functools.cache
def _gradients() -> cv2.HOGDescriptor:
    return cv2.HOGDescriptor(SHAPE_SIZE, (16, 16), (8, 8), (8, 8), 9)


@functools.cache
def _model() -> tuple[Float32[np.ndarray, " columns"], float]:
    tensors = load_file(WEIGHTS)
    return tensors["weights"], float(tensors["bias"][0])
