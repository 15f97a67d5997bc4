"""Whose face is in view: the lips of a face move while its own person speaks, and rest while another one does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from extractors.schema import ModalityFeatures, inside
from extractors.vision import facial

# Of `movement`. Of 168 clips of people who speak 95 % have more than 0.17, and in their stillest 1.5 s more than 0.11;
# a portrait that only begins to smile has 0.1. In between nothing is said.
SPEAKING, LISTENING = 0.13, 0.06
LEAST_SECONDS = 1.0  # of a face in view, for an answer
_MOUTH = [place for place, name in enumerate(facial.BLENDSHAPES) if name == "jawOpen" or name.startswith("mouth")]

Spans = Sequence[tuple[float, float]]


def movement(video: ModalityFeatures, spans: Spans) -> float | None:
    """Measure how much the mouth of the face in view moves.

    Args:
        video: Of a clip, any columns that begin with `facial.SCHEMA.columns`.
        spans: Seconds from and to.

    Returns:
        The root of the summed variances of its blendshapes, the jaw's opening among them; None where the face is not in
        view long enough.
    """
    seen = inside(video, spans) & video.valid
    if (video.end - video.start)[seen].sum() < LEAST_SECONDS - 1e-6:
        return None
    return float(np.sqrt(video.values[seen][:, _MOUTH].var(axis=0, dtype=np.float64).sum()))


def whose(video: ModalityFeatures, speakers: Mapping[str, Spans]) -> dict[str, bool | None]:
    """Tell for each speaker whether the face in view in the own turns is the own one.

    Args:
        video: As in `movement`.
        speakers: The turns of each.

    Returns:
        True where its lips move. False where they rest, and move in the turns of another speaker, whose face it then
        is. None where that cannot be told.
    """
    moved = {name: movement(video, spans) for name, spans in speakers.items()}
    found: dict[str, bool | None] = {}
    for name, much in moved.items():
        others = [other for each, other in moved.items() if each != name and other is not None]
        if much is not None and much >= SPEAKING:
            found[name] = True
        elif much is not None and much <= LISTENING and max(others, default=0.0) >= SPEAKING:
            found[name] = False
        else:
            found[name] = None
    return found
