"""Video features: MediaPipe's 52 blendshapes and the head's pose at a few frames per second."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from extractors.assets.registry import asset_sha256
from extractors.messages import Message
from extractors.schema import DIMENSIONLESS, FACE_BOX, ModalityFeatures, ModalitySchema, Track
from extractors.vision import outline, unread
from extractors.vision.covering import covered
from extractors.vision.landmarks import Face
from extractors.vision.tracking import followed
from extractors.vision.viewing import Frames, Viewed, view

FRAME_RATE = 10.0  # steps per second

# fmt: off
BLENDSHAPES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)
# fmt: on
POSE = ("head_yaw", "head_pitch", "head_roll")


def _units(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Blendshapes are shares of a full movement, angles are in radians."""
    return tuple("rad" if name.startswith(POSE) else DIMENSIONLESS for name in columns)


SCHEMA = ModalitySchema(
    dim=len(BLENDSHAPES) + len(POSE),
    rate=FRAME_RATE,
    extractor=f"mediapipe {version('mediapipe')} FaceLandmarker",
    sha256=asset_sha256("face_landmarker"),
    columns=BLENDSHAPES + POSE,
    units=_units(BLENDSHAPES + POSE),
)

REST_QUANTILE = 0.2  # of a clip's own steps; what a face does not fall below for long is its rest
CLIP_KINDS = ("mean", "std", "q20_to_q80", "q80")
RESTED_COLUMNS = (*SCHEMA.columns, *(f"{name}_above_rest" for name in SCHEMA.columns))
CLIP_COLUMNS = tuple(f"{name}_clip_{kind}" for kind in CLIP_KINDS for name in SCHEMA.columns)
CLIP_SCHEMA = replace(
    SCHEMA,
    dim=len(RESTED_COLUMNS) + len(CLIP_COLUMNS),
    columns=RESTED_COLUMNS + CLIP_COLUMNS,
    units=_units(RESTED_COLUMNS + CLIP_COLUMNS),
    extractor=f"{SCHEMA.extractor}, clip statistics",
)


@dataclass(frozen=True, kw_only=True)
class VideoFeatures:
    """Features of a clip's frames, with curves for the timeline.

    Attributes:
        features: Steps of `SCHEMA.dim` columns: blendshapes in [0, 1], then yaw, pitch, roll in radians
            (`head_angles`).
        tracks: `FACE_BOX`, as shares of the image. The landmarker returns no confidence of a detection, so there is
            none: a face is reported from a confidence of `landmarks.MIN_CONFIDENCE` and a presence of .5 (its default);
            `features.valid` is whether it was.
        outlines: As in `ClipFeatures`.
        notes: For the user.
    """

    features: ModalityFeatures
    tracks: tuple[Track, ...] = ()
    outlines: UInt8[np.ndarray, "frames points 2"] | None = None
    notes: tuple[Message, ...] = ()


def schema(rate: float = FRAME_RATE, *, statistics: bool = False) -> ModalitySchema:
    """Return `SCHEMA`, or `CLIP_SCHEMA` with statistics, at a number of frames per second."""
    return replace(CLIP_SCHEMA if statistics else SCHEMA, rate=rate)


def above_rest(steps: Float[np.ndarray, "steps 55"]) -> Float32[np.ndarray, "steps 110"]:
    """Follow the columns by the same columns above the face's own rest, the clip's `REST_QUANTILE`.

    Args:
        steps: Of `SCHEMA.columns`, the valid steps of one clip.

    Returns:
        Values of `RESTED_COLUMNS`.

    Example:
        >>> above_rest(np.ones((4, 55), np.float32))[0, [0, 55]].tolist()
        [1.0, 0.0]
    """
    steps = np.asarray(steps, np.float64)
    rest = np.quantile(steps, REST_QUANTILE, axis=0) if len(steps) else np.zeros(steps.shape[1])
    return np.concatenate([steps, steps - rest], axis=1).astype(np.float32)


def clip_statistics(steps: Float[np.ndarray, "steps 55"]) -> Float32[np.ndarray, " 220"]:
    """Describe a whole clip.

    Args:
        steps: Of `SCHEMA.columns`, the valid steps of one clip.

    Returns:
        Values of `CLIP_COLUMNS`, zeros for a clip without steps.

    Example:
        >>> clip_statistics(np.ones((4, 55), np.float32))[[0, 55, 110, 165]].tolist()
        [1.0, 0.0, 0.0, 1.0]
    """
    steps = np.asarray(steps, np.float64)
    if not len(steps):
        return np.zeros(len(CLIP_COLUMNS), np.float32)
    low, high = np.quantile(steps, [0.2, 0.8], axis=0)
    return np.concatenate([steps.mean(axis=0), steps.std(axis=0), high - low, high]).astype(np.float32)


def clip_columns(*kinds: str) -> Int[np.ndarray, " columns"]:
    """Return which of `CLIP_COLUMNS` are of these kinds.

    Example:
        >>> clip_columns("q20_to_q80")[[0, -1]].tolist()
        [110, 164]

    Raises:
        ValueError: If a kind is not of `CLIP_KINDS`.
    """
    if unknown := set(kinds) - set(CLIP_KINDS):
        raise ValueError(f"kinds: {sorted(unknown)}, expected some of {CLIP_KINDS}")
    return np.flatnonzero([name.endswith(tuple(f"_clip_{kind}" for kind in kinds)) for name in CLIP_COLUMNS])


def with_statistics(features: ModalityFeatures) -> ModalityFeatures:
    """Return features of `CLIP_SCHEMA` from those of `SCHEMA`; invalid steps stay zeros."""
    valid = features.valid
    values = np.zeros((len(valid), CLIP_SCHEMA.dim), np.float32)
    values[valid, : len(RESTED_COLUMNS)] = above_rest(features.values[valid])
    values[valid, len(RESTED_COLUMNS) :] = clip_statistics(features.values[valid])
    return replace(features, values=values)


def from_frames(frames: Frames, rate: float = FRAME_RATE) -> ModalityFeatures:
    """Return `read`'s features only."""
    return read(frames, rate).features


def read(frames: Frames, rate: float = FRAME_RATE) -> VideoFeatures:
    """Extract features of one person's face (`tracking.followed` chooses whose); a frame without it stays, invalid.

    So does one in which its mouth is covered: a face is read as a whole, and half of it is no expression.

    Args:
        frames: As `viewing.view` takes them.
        rate: Frames per second; a step lasts 1 / rate s.

    Raises:
        ValueError: If the seconds do not rise by at least 1 ms or an image is not (height, width, 3) uint8.
        AssetError: If the model file cannot be had.
    """
    viewed = view(frames)
    if not viewed.seconds:
        return VideoFeatures(features=ModalityFeatures.missing(Message("no_video_stream"), SCHEMA.dim))
    faces = followed(viewed.faces, rate)
    start = np.array(viewed.seconds, float)
    there = np.array([face is not None for face in faces])
    hidden = covered(faces, start)
    valid = there & ~hidden
    features = ModalityFeatures(
        values=np.stack([_row(face if shown else None) for face, shown in zip(faces, valid, strict=True)]),
        start=start,
        end=start + 1 / rate,
        valid=valid,
        absent=None if valid.any() else Message("mouth_covered" if there.any() else "no_face"),
    )
    boxes = [_shares(face, shape, viewed.quarters) for face, shape in zip(faces, viewed.shapes, strict=True)]
    tracks = tuple(
        Track(name=name, unit="", seconds=start, values=values)
        for name, values in zip(FACE_BOX, np.array(boxes).T, strict=True)
    )
    notes = _notes(viewed, share_covered=float(hidden.sum() / max(there.sum(), 1)))
    outlines = np.stack([_outline(face, viewed.quarters) for face in faces])
    return VideoFeatures(features=features, tracks=tracks, outlines=outlines, notes=notes)


def _notes(viewed: Viewed, *, share_covered: float) -> tuple[Message, ...]:
    notes = []
    if viewed.quarters:
        notes.append(Message("video_turned", {"degrees": 360 - 90 * viewed.quarters}))
    if share_covered:
        notes.append(Message("mouth_covered_noted", {"share": max(1, round(100 * share_covered))}))
    notes += unread.notes(viewed.unread)
    if (most := max(map(len, viewed.faces))) > 1:
        notes.append(Message("several_faces", {"count": most}))
    return tuple(notes)


def _row(face: Face | None) -> Float32[np.ndarray, " columns"]:
    """Return blendshapes and angles, zeros without a face."""
    if face is None:
        return np.zeros(SCHEMA.dim, np.float32)
    return np.array([*face.blendshapes, *head_angles(face.matrix)], np.float32)


def _shares(face: Face | None, shape: tuple[int, ...], quarters: int) -> list[float]:
    """Return a face's box as shares of the image as it was before it was turned, NaN without a face."""
    if face is None:
        return [np.nan] * 4
    height, width = shape[:2]
    box = face.box.turned(-quarters, float(width), float(height))
    if quarters % 2:
        height, width = width, height
    return [box.x / width, box.y / height, box.width / width, box.height / height]


def _outline(face: Face | None, quarters: int) -> outline.Outline:
    """Return a face's outline in the image as it was before it was turned."""
    return outline.none() if face is None else outline.turned(face.outline, -quarters)


def head_angles(matrix: Float[np.ndarray, "4 4"]) -> tuple[float, float, float]:
    """Return the head's angles from MediaPipe's pose matrix.

    Args:
        matrix: From the face's to the camera's axes: x to the image's right, y up, z towards the camera.

    Returns:
        (yaw, pitch, roll) in radians, of R = R_y(yaw) R_x(-pitch) R_z(roll), all zero for a face straight on. Positive
        yaw turns the nose to the image's right, positive pitch lifts it, positive roll tilts the head anticlockwise
        as the image shows it.
    """
    rotation = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
    pitch = np.arcsin(np.clip(rotation[1, 2], -1, 1))
    roll = np.arctan2(rotation[1, 0], rotation[1, 1])
    return float(yaw), float(pitch), float(roll)
