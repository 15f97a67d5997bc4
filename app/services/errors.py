"""Errors that may be shown to a user, and how they are shown."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app.i18n import messages, wording
from app.i18n.translate import _
from extractors.messages import Message
from extractors.workers.fair_queue import FullError

log = logging.getLogger(__name__)


class PlainError(ValueError):
    """A foreseen failure, shown to the user.

    Attributes:
        message: A message of the extractors, or a sentence of the app.
    """

    def __init__(self, message: Message | str) -> None:
        super().__init__(str(message))
        self.message = message


class StorageError(PlainError):
    """The server's disk is full, or may not be written."""

    def __init__(self) -> None:
        super().__init__(
            _("The server has no room on its disk for the clip while it is analysed. Please try again later.")
        )


class NotStartedError(PlainError):
    """No process could be started for an analysis."""

    def __init__(self) -> None:
        super().__init__(_("The server could not start the analysis. Please try again later."))


class AbandonedError(Exception):
    """An extraction was stopped because its user has left or started another one."""


def sentence(error: Exception) -> str:
    """Return an error's message for the screen; the details of an unforeseen error are logged under an id."""
    if isinstance(error, PlainError):
        return translated(error.message)
    if isinstance(error, FullError):
        return _("Too many clips are waiting already. Please try again in {seconds} seconds.").format(
            seconds=error.retry_seconds
        )
    if isinstance(error, MemoryError):
        log.error("out of memory", exc_info=error)
        return _("The server has no memory left for this clip. Please try again later, or with a smaller clip.")
    code = secrets.token_hex(3)
    log.error("error %s", code, exc_info=error)
    return _(
        "Something went wrong that should not have. The server's log has the details under {code}; please try again."
    ).format(code=code)


def translated(message: Message | str) -> str:
    """Return a message in the visitor's language; a sentence of the app is in some language already."""
    return message if isinstance(message, str) else messages.translated(message)


@contextmanager
def plain_sentences() -> Iterator[None]:
    """Show an error of a part of the page as a message, so that the rest of the page still runs."""
    try:
        yield
    except Exception as error:
        # Streamlit's own control flow is no Exception and passes through.
        st.error(wording.plain(sentence(error)), icon=":material/error:")
