"""The notice before an upload: what is inferred, where that is forbidden, what is stored."""

from __future__ import annotations

import streamlit as st

from app.i18n import wording
from app.i18n.translate import _

KEY = "notice-read"  # in the session state
BUTTON = "notice-agree"


def not_at_work() -> str:
    """Return the point on where emotions may not be inferred."""
    return _(
        "**Not at work, not in education.** Inferring emotions there is forbidden in the EU, except for medical or "
        "safety reasons (Article 5(1)(f)). No decision about a person may rest on a score."
    )


def points() -> list[str]:
    """Return the points of the notice in Markdown: what is inferred, what the law requires, what is stored."""
    return [
        _(
            "**Emotion inference.** This app estimates from words, voice and face how positive or negative a person "
            "comes across. {caution}"
        ).format(caution=wording.caution()),
        _(
            "**People must be informed.** Anyone who uses such a system on others must inform them (EU AI Act, Article "
            "50(3)). Upload only clips that you may use, of people who know."
        ),
        not_at_work(),
        _(
            "**Stored: nothing.** Your clip is kept in a private folder while it is analysed, then it is deleted. The "
            "measured features stay in memory for this visit only; nothing is sent elsewhere."
        ),
    ]


def show() -> None:
    """Show the notice."""
    st.markdown(wording.bullets(points()))


def agreed() -> bool:
    """Show the notice until the user has agreed to it, once per session.

    Returns:
        Whether the user has agreed; uploads are not offered before.
    """
    if st.session_state.get(KEY, False):
        return True
    with st.container(border=True):
        st.header(_("Before you upload"), anchor=False)
        show()
        if not st.button(_("I have read this and may use my clips"), key=BUTTON):
            return False
    st.session_state[KEY] = True
    st.rerun()
