"""Messages of the extractors, translated by their code."""

from __future__ import annotations

from app.i18n.translate import _
from extractors.messages import Message


def translated(message: Message) -> str:
    """Return a message's sentence in the session's language; what no catalogue has stays in English."""
    return _(message.template).format(**message.values)
