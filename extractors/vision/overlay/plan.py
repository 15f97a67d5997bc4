"""The plan of an overlay: all that is drawn over a clip, and when."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

Colour = tuple[int, int, int]
"""Red, green and blue, of 255."""
MAX_CAPTION = 120  # characters


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A line that is shown for a while.

    Attributes:
        text: At most `MAX_CAPTION` characters.
        start: Seconds from the start of the clip.
        end: Likewise.
    """

    text: str
    start: float
    end: float

    def __post_init__(self) -> None:
        if len(self.text) > MAX_CAPTION:
            raise ValueError(f"text: {len(self.text)} characters, expected at most {MAX_CAPTION}")


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What is drawn over a clip; what has a second is drawn from then on, until the next.

    Attributes:
        duration: Seconds of the clip.
        face_seconds: From the start of the clip, never falling.
        boxes: x, y (upper left corner), width and height in shares of the image; NaN without a face.
        outlines: As in `ClipFeatures`; None draws none.
        score_seconds: From the start of the clip, never falling.
        scores: The running score.
        limit: The largest score.
        face: Colour of box and outline.
        negative: Colour of a score below 0.
        positive: Colour of another score.
        captions: In time order.
        about: What the file holds, for its metadata.
        about_left_out: Likewise, where {count} captions could not be drawn.
    """

    duration: float
    face_seconds: Float[np.ndarray, " frames"]
    boxes: Float[np.ndarray, "frames 4"]
    outlines: UInt8[np.ndarray, "frames points 2"] | None
    score_seconds: Float[np.ndarray, " steps"]
    scores: Float[np.ndarray, " steps"]
    limit: float
    face: Colour
    negative: Colour
    positive: Colour
    captions: tuple[Caption, ...] = ()
    about: str = ""
    about_left_out: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        plain = dict(vars(self))
        for name in ("face_seconds", "boxes", "score_seconds", "scores"):
            plain[name] = _to_text(np.asarray(plain[name], np.float64))
        plain["outlines"] = None if self.outlines is None else [_to_text(self.outlines), self.outlines.shape[1]]
        return {**plain, "captions": [asdict(caption) for caption in self.captions]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Overlay:
        """Inverse of `to_dict`."""
        fields = dict(plain)
        for name in ("face_seconds", "boxes", "score_seconds", "scores"):
            fields[name] = np.frombuffer(base64.b64decode(plain[name]), np.float64)
        fields["boxes"] = fields["boxes"].reshape(-1, 4)
        if plain["outlines"] is not None:
            text, points = plain["outlines"]
            fields["outlines"] = np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, points, 2)
        for name in ("face", "negative", "positive"):
            fields[name] = tuple(plain[name])
        return cls(**{**fields, "captions": tuple(Caption(**caption) for caption in plain["captions"])})


def _to_text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
