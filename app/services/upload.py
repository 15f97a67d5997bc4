"""Uploads: a file that someone gives becomes a clip, or a sentence on why it is not taken."""

from __future__ import annotations

from app.i18n.translate import _
from app.services.analysis import Clip
from app.services.errors import PlainError
from extractors.media.probe import LIMITS

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

MEGABYTE = 1_000_000
MAX_MEGABYTES = LIMITS.file_bytes // MEGABYTE
TITLE_CHARACTERS = 120


def media_type(name: str) -> str | None:
    """Return a file name's media type; None for a kind of file that is not taken."""
    return MIME_TYPES.get(name.rpartition(".")[2].lower())


class KindError(PlainError):
    """A file of a kind that is not taken."""


class SizeError(PlainError):
    """A file of more bytes than a clip may have."""


def mime_type(name: str) -> str:
    """Return the media type that a file's name announces.

    Raises:
        KindError: If this kind of file is not taken.
    """
    if (mime := media_type(name)) is None:
        raise KindError(
            _("This kind of file is not taken, expected one of: {kinds}.").format(kinds=", ".join(MIME_TYPES))
        )
    return mime


def check_size(size: int) -> None:
    """Hold a file's size in bytes against the limit.

    Raises:
        SizeError: If it is too large.
    """
    if size > LIMITS.file_bytes:
        raise SizeError(
            _("This file has {size:.0f} MB; the limit is {limit} MB. Cut it and try again.").format(
                size=size / MEGABYTE, limit=MAX_MEGABYTES
            )
        )


def title(name: str) -> str:
    """Return what is shown of a file's name: its last part, printable and not long. No path is ever made of it."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:TITLE_CHARACTERS]


def clip(name: str, data: bytes, *, transcript: str | None = None) -> Clip:
    """Make a clip of an uploaded file.

    Args:
        name: As the sender says; only its ending is believed, and only as far as a player is told of it.
        data: The file's bytes.
        transcript: What is said; None or blank lets speech be recognised.

    Raises:
        KindError: If this kind of file is not taken.
        SizeError: If it is too large.
    """
    mime = mime_type(name)
    check_size(len(data))
    return Clip(title=title(name), data=data, mime=mime, transcript=(transcript or "").strip() or None)
