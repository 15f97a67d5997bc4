"""Errors that a visitor may see, and how they are shown."""

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
    """A foreseen failure; the message is the sentence for the visitor."""


class AbandonedError(Exception):
    """Stops an extraction whose visitor has left or asked for something else."""


def sentence(error: Exception) -> str:
    """Turn an error into one sentence for the screen; an unforeseen one goes to the log under an id."""
    if isinstance(error, PlainError):
        return told(str(error))
    code = secrets.token_hex(3)
    log.error("error %s", code, exc_info=error)
    return _(
        "Something went wrong that should not have. The server's log has the details under {code}; please try again."
    ).format(code=code)


@contextmanager
def plain_sentences() -> Iterator[None]:
    """Show any error of a part of the page as a sentence, and let the rest work on."""
    try:
        yield
    except Exception as error:
        # Streamlit's own control flow is no Exception and passes through.
        st.error(wording.plain(sentence(error)), icon=":material/error:")
