"""Errors that may be shown to a user, and how they are shown."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app.i18n import wording
from app.i18n.messages import told
from app.i18n.translate import _

log = logging.getLogger(__name__)


class PlainError(ValueError):
    """A foreseen failure; its message is shown to the user."""


class AbandonedError(Exception):
    """An extraction was stopped because its user has left or started another one."""


def sentence(error: Exception) -> str:
    """Return an error's message for the screen; the details of an unforeseen error are logged under an id."""
    if isinstance(error, PlainError):
        return told(str(error))
    code = secrets.token_hex(3)
    log.error("error %s", code, exc_info=error)
    return _(
        "Something went wrong that should not have. The server's log has the details under {code}; please try again."
    ).format(code=code)


@contextmanager
def plain_sentences() -> Iterator[None]:
    """Show an error of a part of the page as a message, so that the rest of the page still runs."""
    try:
        yield
    except Exception as error:
        # Streamlit's own control flow is no Exception and passes through.
        st.error(wording.plain(sentence(error)), icon=":material/error:")
