"""Sentences on screen: a strip over the clip and a table; a click plays one, without a rerun of the page.

Their script is `frontend/sentences.js`; it finds the player as `app.components.stage` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.modality import Modality
from app.charts import alignment_table, sentence_table
from app.charts.sentence_table import SentenceRow
from app.components.stage import PLAYHEAD, diverging, player_key
from app.i18n import wording
from app.i18n.translate import _
from app.services.analysis import Analysis

if TYPE_CHECKING:
    from alignmamba.prediction import SegmentScore

_FRONTEND = Path(__file__).parents[1] / "frontend"
_PARTS = {
    "css": (_FRONTEND / "sentences.css").read_text(encoding="utf-8"),
    "js": (_FRONTEND / "sentences.js").read_text(encoding="utf-8"),
}
_STRIP = st.components.v2.component("sentence_strip", html='<div id="strip" role="group"></div>\n', **_PARTS)
_TABLE = st.components.v2.component("sentence_table", html='<div id="frame"></div>\n', **_PARTS)


def strip(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the sentences as a strip over the clip's time, coloured by their scores; nothing where nobody speaks.

    Args:
        analysis: Of a clip.
        used: Modalities that the scores come from.
    """
    if not analysis.sentences:
        return
    listed = sentence_table.rows(analysis.sentences, {used: analysis.sentence_scores(used)}, analysis.features.words)
    _STRIP(
        data={
            "view": "strip",
            "player": player_key(analysis.number),
            "duration": alignment_table.seconds(analysis.features),
            "colour": PLAYHEAD,
            "label": _("Sentences over the clip; arrow keys go from one to the next, Enter plays one"),
            "sentences": [_block(row) for row in listed],
        },
        key=f"sentence-strip-{analysis.number}",
    )


def table(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the sentences as a table with the score from a subset and from each of its modalities alone.

    Args:
        analysis: Of a clip in which somebody speaks.
        used: The subset on screen.
    """
    columns = analysis.scored_sentences(used)
    listed = sentence_table.rows(analysis.sentences, columns, analysis.features.words)
    speakers = any(row.sentence.speaker for row in listed)
    _TABLE(
        data={
            "view": "table",
            "player": player_key(analysis.number),
            "label": _("Sentences with their scores"),
            "columns": [
                _("Time"),
                *([_("Speaker")] if speakers else []),
                _("Words"),
                *(wording.subset(subset) for subset in columns),
                _("What moved it"),
            ],
            "sentences": [_line(row, speakers=speakers) for row in listed],
        },
        key=f"sentence-table-{analysis.number}",
    )


def _block(row: SentenceRow) -> dict[str, object]:
    sentence, score = row.sentence, row.first
    return {
        "start": sentence.start,
        "end": sentence.end,
        "short": "–" if score is None else wording.signed(score.score),
        "colour": "transparent" if score is None else diverging(score.score / wording.SCORE_LIMIT),
        "hint": _hint(row),
    }


def _line(row: SentenceRow, *, speakers: bool) -> dict[str, object]:
    sentence = row.sentence
    moved = sentence_table.what_moved(row)
    cells = [
        {"text": f"▶ {clock(sentence.start)}", "sort": sentence.start, "kind": "number"},
        *([{"text": sentence.speaker or "–", "sort": sentence.speaker, "kind": ""}] if speakers else []),
        {"text": sentence.text, "sort": sentence.text, "kind": "words"},
        *(_number(score) for score in row.scores.values()),
        {"text": moved or "–", "sort": sum(row.moved.values()), "kind": ""},
    ]
    return {"start": sentence.start, "end": sentence.end, "hint": _hint(row), "cells": cells}


def _number(score: SegmentScore | None) -> dict[str, object]:
    if score is None:
        return {"text": "–", "sort": None, "kind": "number"}
    return {
        "text": wording.signed(score.score),
        "detail": "" if score.interval is None else _between(score.interval),
        "sort": score.score,
        "kind": "number",
    }


def _between(interval: tuple[float, float]) -> str:
    low, high = map(wording.signed, interval)
    return _("{low} to {high}").format(low=low, high=high)


def _hint(row: SentenceRow) -> str:
    sentence = row.sentence
    score = "–" if row.first is None else wording.signed(row.first.score)
    who = f"{sentence.speaker}: " if sentence.speaker else ""
    return _("Play from {start} to {end}, score {score}: {words}").format(
        start=clock(sentence.start), end=clock(sentence.end), score=score, words=who + sentence.text
    )


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds.

    >>> clock(75.25)
    '1:15.2'
    """
    tenths = int(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"
