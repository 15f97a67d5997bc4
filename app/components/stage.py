"""The transcript in sync with player and charts: a small component that keeps them at the same moment.

Its script `frontend/stage.js` finds the player and the charts by the keys of their containers; the page is not rerun
while a clip plays. Words arrive as data and become text nodes: nothing that a user typed is parsed as HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import altair
import numpy as np
import streamlit as st

from app.components import chart_cache
from app.i18n.translate import _
from app.services.analysis import Analysis
from extractors.schema import Word

# Keys of containers begin with these: a chart over the clip's time gets a playhead and takes clicks.
PLAYER, CHARTS = "player", "timed"

# As in app.charts.scores, without the alpha.
NEGATIVE, POSITIVE = "217,95,14", "43,127,196"
PLAYHEAD = "#c2185b"
STRONGEST_ALPHA = 0.6  # leaves text readable on light and dark pages
FAINTEST = 0.15  # of the strongest contribution; below, a word carries no sign

_FRONTEND = Path(__file__).with_name("frontend")
_STAGE = st.components.v2.component(
    "stage",
    html='<p id="unseen" role="status" hidden></p><div id="words" role="group"></div>\n',
    css=(_FRONTEND / "stage.css").read_text(encoding="utf-8"),
    js=(_FRONTEND / "stage.js").read_text(encoding="utf-8"),
)


def player_key(number: int) -> str:
    """Return the key of the container that holds an analysis's player."""
    return f"{PLAYER}-{number}"


def chart(
    analysis: Analysis,
    name: Hashable,
    make: Callable[[], altair.TopLevelMixin],
    *,
    alt: str,
    place: str,
    keep: bool = True,
) -> None:
    """Show a chart over the clip's time, which gets the playhead and takes clicks.

    Args:
        analysis: As in `app.components.chart_cache.show`.
        name: As in `app.components.chart_cache.show`.
        make: Builds the chart; see `app.charts.scores.on_time`.
        alt: Alt text.
        place: Unique among the charts of a page.
        keep: As in `app.components.chart_cache.show`.
    """
    with st.container(key=f"{CHARTS}-{place}-{analysis.number}"):
        chart_cache.show(analysis, name, make, alt=alt, keep=keep)


def stage(
    words: Sequence[Word],
    contributions: np.ndarray | None,
    *,
    number: int,
    duration: float,
    start: float = 0.0,
    chosen: int | None = None,
    picks: bool = False,
) -> int | None:
    """Show words, coloured by their contributions, and keep player and charts in sync with them.

    Args:
        words: In time order.
        contributions: One per word, in points of the score; None leaves the words uncoloured.
        number: Of the analysis, as in the keys of its player and charts.
        duration: Second at which the charts' axes end.
        start: Second at which they begin.
        chosen: Word to mark as chosen.
        picks: Whether a click chooses a word and runs the page again.

    Returns:
        The word clicked last, where clicks choose.
    """
    result = _STAGE(
        data={
            "words": _buttons(words, contributions),
            "player": player_key(number),
            "charts": CHARTS,
            "start": start,
            "duration": duration,
            "colour": PLAYHEAD,
            "unseen": _(
                "No video to show: the clip has none, or this browser cannot play its format. The analysis is not "
                "affected."
            ),
            "picks": picks,
            "chosen": chosen,
        },
        key=f"stage-{number}-{'picks' if picks else 'plays'}",
        default={"word": chosen} if picks else None,
        on_word_change=_nothing if picks else None,
    )
    # From the browser, so anything may come.
    picked = result.word if picks else None
    return picked if isinstance(picked, int) and 0 <= picked < len(words) else None


def _buttons(words: Sequence[Word], contributions: np.ndarray | None) -> list[dict[str, object]]:
    """Return text, times, colour, sign and hint of each word."""
    values = np.zeros(len(words)) if contributions is None else contributions.astype(float)
    strongest = float(np.abs(values).max(initial=0.0)) or 1.0
    return [
        {
            "text": word.text,
            "start": word.start,
            "end": word.end,
            "colour": diverging(value / strongest),
            "sign": _sign(value / strongest),
            "hint": _hint(word, None if contributions is None else value),
        }
        for word, value in zip(words, values.tolist(), strict=True)
    ]


def _nothing() -> None:
    """Do nothing: a component's state needs a callback, even if the run itself reads it."""


def diverging(share: float) -> str:
    """Return the CSS colour of a contribution in [-1, 1]."""
    return f"rgba({POSITIVE if share > 0 else NEGATIVE},{abs(share) * STRONGEST_ALPHA:.3f})"


def _sign(share: float) -> str:
    """Return the glyph of a contribution, for readers who cannot tell the colours apart."""
    if abs(share) < FAINTEST:
        return ""
    return "▲" if share > 0 else "▼"


def _hint(word: Word, contribution: float | None) -> str:
    when = _("{start:.2f} to {end:.2f} s").format(start=word.start, end=word.end)
    if contribution is None:
        return when
    return _("{when}, contribution {contribution:+.3f}").format(when=when, contribution=contribution)
