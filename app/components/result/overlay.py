"""Face, landmarks and running score on the video, on and off in the browser without a rerun of the page.

The script is `frontend/overlay.js`; it finds the player as `app.components.stage` does, and gets all it draws once.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.prediction import SCORE_LIMIT
from app.charts.scores import NEGATIVE, PAIRED, POSITIVE
from app.components.stage import player_key
from app.export.overlaid import face, running_score
from app.i18n.translate import _
from app.services.analysis import Analysis
from extractors.schema import ClipFeatures
from extractors.vision.outline import LINES, STEPS

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

_FRONTEND = Path(__file__).parents[1] / "frontend"
_OVERLAY = st.components.v2.component(
    "overlay",
    html='<label hidden><input type="checkbox" id="on"><span id="text"></span></label>\n',  # until it has its text
    css=(_FRONTEND / "overlay.css").read_text(encoding="utf-8"),
    js=(_FRONTEND / "overlay.js").read_text(encoding="utf-8"),
)
# Apart from the drawing of a face, which is large and the same with every choice of modalities: Streamlit sends an
# element to a browser again only when its data changed.
_RUNNING_SCORE = st.components.v2.component(
    "running-score", html="<span></span>\n", js=(_FRONTEND / "running_score.js").read_text(encoding="utf-8")
)


def switch(analysis: Analysis, prediction: Prediction) -> None:
    """Show the switch of the overlay; nothing where the clip has no video.

    Args:
        analysis: Of a clip.
        prediction: Whose running score is drawn.
    """
    if not len(analysis.features.video.start):
        return
    player = player_key(analysis.number)
    with st.container(horizontal=True, gap=None):
        _OVERLAY(data=drawing(analysis.features, player=player), key=f"overlay-{analysis.number}")
        _RUNNING_SCORE(
            data={"player": player, "score": running_score(analysis.features, prediction)},
            key=f"running-score-{analysis.number}",
        )


def drawing(features: ClipFeatures, *, player: str) -> dict[str, object]:
    """Return all that `frontend/overlay.js` draws from but the running score.

    Args:
        features: Of the clip.
        player: Key of the container of its player.
    """
    return {
        "player": player,
        "label": _("Show face and running score on the clip"),
        "face": face(features),
        "outline": outline(features),
        "limit": SCORE_LIMIT,
        "colour": PAIRED,
        "negative": NEGATIVE,
        "positive": POSITIVE,
    }


def outline(features: ClipFeatures) -> dict[str, object] | None:
    """Return the face's lines: x and y of each point in each second of `face`, as bytes, and which points they join.

    None where the features hold none, as those from before there were any.
    """
    if features.outlines is None:
        return None
    points = base64.b64encode(features.outlines.tobytes()).decode("ascii")
    return {"points": points, "count": features.outlines.shape[1], "lines": LINES, "steps": STEPS}
