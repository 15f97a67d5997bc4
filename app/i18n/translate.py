"""The screen's languages: English in the code, the others in catalogues under `locale/`.

    _("Predict from")                           # in the session's language
    _("{count} words").format(count=3)          # placeholders have names, so that a translation may reorder them
    N_("very negative")                         # marks a constant; `_(constant)` translates it where it is shown

`make strings` brings new strings into the catalogues; `tests/app/i18n/test_translate.py` fails while one is missing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import streamlit as st
from babel.messages.pofile import read_po

LANGUAGES = {"en": "English", "zh": "中文"}
SOURCE = "en"  # the language that the code is written in
LOCALE = Path(__file__).with_name("locale")
KEY = "lang"  # of the session state and of the query parameters
SWITCH = "language-switch"

# Set where there is no session, or where another language than the session's is wanted.
_spoken: ContextVar[str | None] = ContextVar("spoken", default=None)


def language() -> str:
    """Return the language of the screen: one of `LANGUAGES`; English outside a session."""
    if (spoken := _spoken.get()) is not None:
        return spoken
    chosen = st.session_state.get(KEY)
    return chosen if chosen in LANGUAGES else SOURCE


@contextmanager
def spoken_in(code: str) -> Iterator[None]:
    """Translate into one language inside the block, whatever the session's language is.

    Raises:
        ValueError: If it is none of `LANGUAGES`.
    """
    if code not in LANGUAGES:
        raise ValueError(f"language: {code!r}, expected one of {sorted(LANGUAGES)}")
    token = _spoken.set(code)
    try:
        yield
    finally:
        _spoken.reset(token)


def _(message: str) -> str:
    """Translate a sentence; one that is in no catalogue stays in English."""
    return _catalogue(language()).get(message, message)


def N_(message: str) -> str:  # noqa: N802  # gettext's own name for it
    """Mark a constant for the catalogues; `_` translates it where it is shown."""
    return message


def choose_language() -> None:
    """Show the language switch; the URL holds its choice too, so that a link opens in the sender's language."""
    if st.session_state.get(KEY) not in LANGUAGES:
        st.session_state[KEY] = _first_language()
    # The switch forgets its choice with every change of page, so the choice is kept beside it.
    if st.session_state.get(SWITCH) not in LANGUAGES:
        st.session_state[SWITCH] = st.session_state[KEY]
    chosen = st.segmented_control(
        "Language / 语言",
        LANGUAGES,
        format_func=LANGUAGES.__getitem__,
        required=True,
        label_visibility="collapsed",
        key=SWITCH,
    )
    st.session_state[KEY] = chosen or st.session_state[KEY]
    # Not bound by Streamlit, which would write the label instead of the code.
    if st.query_params.get(KEY, SOURCE) != st.session_state[KEY]:
        st.query_params[KEY] = st.session_state[KEY]


def _first_language() -> str:
    """Choose by the query parameter, else by the browser."""
    browser = (st.context.locale or SOURCE).lower().partition("-")[0]
    asked = st.query_params.get(KEY, browser)
    return asked if asked in LANGUAGES else SOURCE


@functools.cache
def _catalogue(code: str) -> dict[str, str]:
    """Read a catalogue; the source language has none."""
    if code == SOURCE:
        return {}
    with (LOCALE / f"{code}.po").open("rb") as file:
        return {message.id: message.string for message in read_po(file, locale=code) if message.id and message.string}
