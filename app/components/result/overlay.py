"""Face box and running score on the video, on and off in the browser without a rerun of the page.

The script is `frontend/overlay.js`; it finds the player as `app.components.stage` does, and gets all it draws once.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.modality import Modality
from alignmamba.prediction import SCORE_LIMIT
from app.charts.scores import NEGATIVE, PAIRED, POSITIVE
from app.components.stage import player_key
from app.i18n.translate import _
from app.services.analysis import Analysis
from extractors.schema import ClipFeatures

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

BOX = ("face x", "face y", "face width", "face height")  # tracks, in shares of the frame

_FRONTEND = Path(__file__).parents[1] / "frontend"
_OVERLAY = st.components.v2.component(
    "overlay",
    html='<label hidden><input type="checkbox" id="on"><span id="text"></span></label>\n',  # until it has its text
    css=(_FRONTEND / "overlay.css").read_text(encoding="utf-8"),
    js=(_FRONTEND / "overlay.js").read_text(encoding="utf-8"),
)


def switch(analysis: Analysis, prediction: Prediction) -> None:
    """Show the switch of the overlay; nothing where the clip has no video.

    Args:
        analysis: Of a clip.
        prediction: Whose running score is drawn.
    """
    if not len(analysis.features.video.start):
        return
    _OVERLAY(
        data={
            "player": player_key(analysis.number),
            "label": _("Show face and running score on the clip"),
            "face": face(analysis.features),
            "score": running_score(analysis.features, prediction),
            "limit": SCORE_LIMIT,
            "colour": PAIRED,
            "negative": NEGATIVE,
            "positive": POSITIVE,
        },
        key=f"overlay-{analysis.number}",
    )


def face(features: ClipFeatures) -> dict[str, list[object]]:
    """Return where the face is: seconds, and per second [x, y, width, height] in shares of the frame, or None."""
    tracks = {track.name: track for track in features.tracks}
    if not set(BOX) <= tracks.keys():
        return {"seconds": [], "boxes": []}
    columns = zip(*(tracks[name].values.tolist() for name in BOX), strict=True)
    boxes = [[round(value, 4) for value in box] if all(map(math.isfinite, box)) else None for box in columns]
    return {"seconds": [round(second, 3) for second in tracks[BOX[0]].seconds.tolist()], "boxes": boxes}


def running_score(features: ClipFeatures, prediction: Prediction) -> dict[str, list[object]]:
    """Return the score after each step of the anchor; a model that reads both ways has the whole clip's throughout."""
    running = prediction.running_scores
    if running is None:
        return {"seconds": [0.0], "values": [round(prediction.score, 3)]}
    anchor = features.modality(Modality(prediction.anchor))
    known = [
        (round(end, 3), round(value, 3))
        for end, value in zip(anchor.end.tolist(), running.tolist(), strict=True)
        if math.isfinite(value)
    ]
    return {"seconds": [end for end, _value in known], "values": [value for _end, value in known]}
