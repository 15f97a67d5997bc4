"""The face as a CSV table that tools for OpenFace's output read."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from extractors.schema import ClipFeatures

AU_SCALE = 5.0  # OpenFace's intensities are in [0, 5], blendshapes in [0, 1]
# Action unit -> blendshapes that move likewise; two sides are averaged.
ACTION_UNITS = {
    "AU01_r": ("browInnerUp",),
    "AU02_r": ("browOuterUpLeft", "browOuterUpRight"),
    "AU04_r": ("browDownLeft", "browDownRight"),
    "AU05_r": ("eyeWideLeft", "eyeWideRight"),
    "AU06_r": ("cheekSquintLeft", "cheekSquintRight"),
    "AU07_r": ("eyeSquintLeft", "eyeSquintRight"),
    "AU09_r": ("noseSneerLeft", "noseSneerRight"),
    "AU10_r": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "AU12_r": ("mouthSmileLeft", "mouthSmileRight"),
    "AU14_r": ("mouthDimpleLeft", "mouthDimpleRight"),
    "AU15_r": ("mouthFrownLeft", "mouthFrownRight"),
    "AU17_r": ("mouthShrugLower",),
    "AU20_r": ("mouthStretchLeft", "mouthStretchRight"),
    "AU26_r": ("jawOpen",),
    "AU45_r": ("eyeBlinkLeft", "eyeBlinkRight"),
}
POSE = {"pose_Rx": "head_pitch", "pose_Ry": "head_yaw", "pose_Rz": "head_roll"}  # radians, as OpenFace's
LEFT_OUT = (
    "gaze, eye and face landmarks, pose_T (place of the head), AU23 and AU25, and every AU..._c (on or off), which are "
    "not measured here; and blendshapes that are no action unit of OpenFace's"
)
NOTE = f"""Columns named as OpenFace 2 names them, made from MediaPipe's blendshapes and head pose.

AU.._r: {AU_SCALE:g} times the blendshape of the same movement, the mean of left and right. Another measure than
OpenFace's on the same scale: do not mix the two in one analysis.
pose_Rx, pose_Ry, pose_Rz: pitch, yaw and roll of the head in radians.
confidence: 1 where a face was found and 0 elsewhere; the detector reports none of its own.
Left out: {LEFT_OUT}.

"""


def to_openface(features: ClipFeatures) -> str:
    """Write one row a sampled frame; a frame without a face has `success` 0 and empty cells.

    Args:
        features: Of a clip with a face.

    Raises:
        ValueError: If the clip's video columns are no blendshapes.
    """
    video, columns = features.video, features.schema.video.columns
    needed = {name for names in ACTION_UNITS.values() for name in names} | set(POSE.values())
    if missing := sorted(needed - set(columns)):
        raise ValueError(f"video columns: {missing} missing, expected MediaPipe's blendshapes and head pose")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "face_id", "timestamp", "confidence", "success", *POSE, *ACTION_UNITS])
    pose = video.values[:, [columns.index(name) for name in POSE.values()]]
    units = np.stack([_unit(features, names) for names in ACTION_UNITS.values()], axis=1)
    for frame, (start, found) in enumerate(zip(video.start.tolist(), video.valid.tolist(), strict=True), start=1):
        values = (
            [*pose[frame - 1].tolist(), *units[frame - 1].tolist()]
            if found
            else [math.nan] * (len(POSE) + len(ACTION_UNITS))
        )
        cells = ["" if math.isnan(value) else f"{value:.4f}" for value in values]
        writer.writerow([frame, 0, f"{start:.3f}", int(found), int(found), *cells])
    return text.getvalue()


def _unit(features: ClipFeatures, names: Sequence[str]) -> np.ndarray:
    columns = features.schema.video.columns
    mean: np.ndarray = features.video.values[:, [columns.index(name) for name in names]].mean(axis=1)
    return AU_SCALE * mean
