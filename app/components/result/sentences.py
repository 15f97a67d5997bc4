"""Sentences on screen: a strip over the clip and a table; a click plays one, without a rerun of the page.

Their script is `frontend/sentences.js`; it finds the player as `app.components.stage` does.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.modality import Modality
from app.charts import alignment_table, sentence_table
from app.charts.scores import SPEAKERS
from app.charts.sentence_table import SentenceRow
from app.components.stage import PLAYHEAD, diverging, player_key
from app.i18n import wording
from app.i18n.translate import _
from app.services.analysis import Analysis

if TYPE_CHECKING:
    from alignmamba.prediction import SegmentScore

TURN_ALPHA = "66"  # of a speaker's colour under the score of a turn, in hex: text stays readable on it

_FRONTEND = Path(__file__).parents[1] / "frontend"
_PARTS = {
    "css": (_FRONTEND / "sentences.css").read_text(encoding="utf-8"),
    "js": (_FRONTEND / "sentences.js").read_text(encoding="utf-8"),
}
_STRIP = st.components.v2.component(
    "sentence_strip", html='<div id="strip" role="group"></div><div id="legend"></div>\n', **_PARTS
)
_TABLE = st.components.v2.component("sentence_table", html='<div id="frame"></div>\n', **_PARTS)


def strip(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the sentences as a strip over the clip's time, coloured by their scores; nothing where nobody speaks.

    Args:
        analysis: Of a clip.
        used: Modalities that the scores come from.
    """
    if not analysis.sentences:
        return
    colours = speaker_colours(analysis)
    listed = sentence_table.rows(analysis.sentences, {used: analysis.sentence_scores(used)}, analysis.features.words)
    _STRIP(
        data={
            "view": "strip",
            "player": player_key(analysis.number),
            "duration": alignment_table.seconds(analysis.features),
            "colour": PLAYHEAD,
            "label": _("Sentences over the clip; arrow keys go from one to the next, Enter plays one"),
            "legend": [{"text": wording.speaker(name), "colour": colour} for name, colour in colours.items()],
            "sentences": [{**_block(row), "edge": colours.get(row.sentence.speaker)} for row in listed],
        },
        key=f"sentence-strip-{analysis.number}",
    )


def turns(analysis: Analysis, used: frozenset[Modality], speaker: str) -> None:
    """Show the turns of one speaker as a strip over the clip's time, in the speaker's colour, with their scores.

    Args:
        analysis: Of a clip with several speakers.
        used: Modalities that the scores come from.
        speaker: One of them.
    """
    colour = speaker_colours(analysis)[speaker]
    pairs = zip(analysis.turns, analysis.turn_scores(used), strict=True)
    blocks = [
        {
            "start": turn.start,
            "end": turn.end,
            "short": "–" if score is None else wording.signed(score.score),
            "colour": f"{colour}{TURN_ALPHA}",
            "edge": colour,
            "hint": _("Play from {start} to {end}, score {score}: {words}").format(
                start=clock(turn.start),
                end=clock(turn.end),
                score="–" if score is None else wording.signed(score.score),
                words=wording.speaker(speaker),
            ),
        }
        for turn, score in pairs
        if turn.speaker == speaker
    ]
    _STRIP(
        data={
            "view": "strip",
            "player": player_key(analysis.number),
            "duration": alignment_table.seconds(analysis.features),
            "colour": PLAYHEAD,
            "label": _("Turns of {name}; arrow keys go from one to the next, Enter plays one").format(
                name=wording.speaker(speaker)
            ),
            "legend": [],
            "sentences": blocks,
        },
        key=f"turn-strip-{analysis.number}-{list(analysis.speakers).index(speaker)}",
    )


def speaker_colours(analysis: Analysis) -> dict[str | None, str]:
    """Return the colour of each speaker; none where there are fewer than two."""
    return dict(zip(analysis.speakers, itertools.cycle(SPEAKERS)))


def table(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the sentences as a table with the score from a subset and from each of its modalities alone.

    Args:
        analysis: Of a clip in which somebody speaks.
        used: The subset on screen.
    """
    columns, colours = analysis.scored_sentences(used), speaker_colours(analysis)
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
            "sentences": [_line(row, speakers=speakers, colour=colours.get(row.sentence.speaker)) for row in listed],
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


def _line(row: SentenceRow, *, speakers: bool, colour: str | None) -> dict[str, object]:
    sentence = row.sentence
    moved, who = sentence_table.what_moved(row), wording.speaker(sentence.speaker)
    cells = [
        {"text": f"▶ {clock(sentence.start)}", "sort": sentence.start, "kind": "number"},
        *([{"text": who, "sort": sentence.speaker, "kind": "", "swatch": colour}] if speakers else []),
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
        "detail": "" if score.interval is None else between(score.interval),
        "sort": score.score,
        "kind": "number",
    }


def between(interval: tuple[float, float]) -> str:
    """Return an interval of scores as text."""
    low, high = map(wording.signed, interval)
    return _("{low} to {high}").format(low=low, high=high)


def _hint(row: SentenceRow) -> str:
    sentence = row.sentence
    score = "–" if row.first is None else wording.signed(row.first.score)
    who = f"{wording.speaker(sentence.speaker)}: " if sentence.speaker else ""
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
