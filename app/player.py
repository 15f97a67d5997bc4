"""The clip's player and its transcript, words coloured by what they did to the score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.state import Clip
from app.translate import _
from extractors.schema import Word

# What the upload field takes, and how it is announced to the browser's player.
MIME_TYPES = {
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "flv": "video/x-flv",
    "ogv": "video/ogg",
}
PLAYABLE = {"video/mp4", "video/webm", "video/quicktime", "video/ogg"}
# As in app.charts, without the alpha.
NEGATIVE, POSITIVE = "217,95,14", "43,127,196"
STRONGEST_ALPHA = 0.65  # leaves text readable on light and dark pages

# Words arrive as data and become text nodes: nothing that a visitor typed is ever parsed as HTML.
_WORDS = st.components.v2.component(
    "transcript",
    html='<p id="words"></p>',
    css="""
    #words { margin: 0; font-family: var(--st-font); font-size: 1.05rem; line-height: 2; color: var(--st-text-color); }
    #words span { border-radius: 0.3rem; padding: 0.12rem 0.22rem; overflow-wrap: anywhere; }
    """,
    js="""
    export default function ({ data, parentElement }) {
      const words = data.words.map(({ text, colour, hint }) => {
        const word = document.createElement("span")
        word.textContent = text
        word.title = hint
        word.style.backgroundColor = colour
        return word
      })
      parentElement.querySelector("#words").replaceChildren(...words.flatMap((word) => [word, " "]))
    }
    """,
)


def mime_type(name: str) -> str | None:
    """Return a file name's media type; None for a kind of file that is not taken."""
    return MIME_TYPES.get(name.rpartition(".")[2].lower())


def player(clip: Clip) -> None:
    """Show the clip."""
    st.video(clip.data, format=clip.mime, alt=_("The analysed clip: {title}").format(title=clip.title))
    if clip.mime not in PLAYABLE:
        st.caption(_("Most browsers cannot play this format; the analysis is not affected."))


def transcript(words: Sequence[Word], contributions: np.ndarray | None) -> None:
    """Show words, coloured by what they did to the score.

    Args:
        words: In time order.
        contributions: One per word, in points of the score; None leaves the words uncoloured.
    """
    values = np.zeros(len(words)) if contributions is None else contributions
    strongest = float(np.abs(values).max(initial=0.0)) or 1.0
    _WORDS(
        data={
            "words": [
                {
                    "text": word.text,
                    "colour": _colour(float(value) / strongest),
                    "hint": _hint(word, None if contributions is None else float(value)),
                }
                for word, value in zip(words, values, strict=True)
            ]
        },
        key="transcript",
    )


def _hint(word: Word, contribution: float | None) -> str:
    when = _("{start:.2f} to {end:.2f} s").format(start=word.start, end=word.end)
    if contribution is None:
        return when
    return _("{when}, contribution {contribution:+.3f}").format(when=when, contribution=contribution)


def _colour(share: float) -> str:
    """CSS colour of a contribution in [-1, 1]."""
    return f"rgba({POSITIVE if share > 0 else NEGATIVE},{abs(share) * STRONGEST_ALPHA:.3f})"
