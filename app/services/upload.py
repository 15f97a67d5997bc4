"""Uploads: a file becomes a clip, or an error that says why it is not accepted."""

from __future__ import annotations

from app.i18n.translate import _
from app.services.analysis import Clip
from app.services.errors import PlainError
from extractors.media.probe import LIMITS

# Accepted file suffixes and their media types, for the browser's player.
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

# Accepted suffixes of caption files; what they hold is told by their content.
CAPTION_KINDS = ("srt", "vtt", "ass", "ssa", "sbv", "lrc", "sub", "ttml", "dfxp", "xml", "smi", "mpl", "txt")

MEGABYTE = 1_000_000
MAX_CAPTION_BYTES = 2_000_000
MAX_MEGABYTES = LIMITS.file_bytes // MEGABYTE
TITLE_CHARACTERS = 120


def media_type(name: str) -> str | None:
    """Return a file name's media type; None for a kind of file that is not accepted."""
    return MIME_TYPES.get(name.rpartition(".")[2].lower())


class KindError(PlainError):
    """A file of a kind that is not accepted."""


class SizeError(PlainError):
    """A file with more bytes than a clip may have."""


def mime_type(name: str) -> str:
    """Return the media type of a file by its name.

    Raises:
        KindError: If this kind of file is not accepted.
    """
    if (mime := media_type(name)) is None:
        raise KindError(
            _("This kind of file is not accepted, expected one of: {kinds}.").format(kinds=", ".join(MIME_TYPES))
        )
    return mime


def check_size(size: int) -> None:
    """Check a file's size in bytes against the limit.

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
    """Return a file's name for the screen: its last part, printable and shortened. It is never used as a path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:TITLE_CHARACTERS]


def said(transcript: str | None, captions: bytes | None) -> str | None:
    """Return what is said in a clip, typed or from a caption file of any encoding; None lets speech be recognised.

    Raises:
        PlainError: If both are given, or the file is too large or no text.
    """
    typed = (transcript or "").strip()
    if not captions:
        return typed or None
    if typed:
        raise PlainError(_("Give a transcript or a caption file, not both."))
    if len(captions) > MAX_CAPTION_BYTES:
        raise PlainError(_("The caption file has more than {limit} MB.").format(limit=MAX_CAPTION_BYTES // MEGABYTE))
    # Imported here, as it imports decoders, and the page must show before they have loaded.
    from extractors.language.subtitles import decode
    from extractors.language.transcript import TranscriptError

    try:
        return decode(captions)
    except TranscriptError as error:
        raise PlainError(error.message) from error


def clip(name: str, data: bytes, *, transcript: str | None = None, captions: bytes | None = None) -> Clip:
    """Make a clip of an uploaded file.

    Args:
        name: Of the file, as sent; only its suffix is used, and only for the media type given to the player.
        data: The file's bytes.
        transcript: Of the clip; None or blank lets speech be recognised.
        captions: Bytes of a caption file, instead of a transcript.

    Raises:
        KindError: If this kind of file is not accepted.
        SizeError: If it is too large.
        PlainError: As `said`.
    """
    mime = mime_type(name)
    check_size(len(data))
    return Clip(title=title(name), data=data, mime=mime, transcript=said(transcript, captions))
