"""Uploads: a file becomes a clip, or an error that says why it is not accepted."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.i18n.translate import N_, _
from app.services.analysis import Clip
from app.services.errors import PlainError
from extractors.media.probe import LIMITS, Limits

# Suffixes that the browser's file dialogue offers, and their media types; what a file holds is told by its content.
MIME_TYPES = {
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "ts": "video/mp2t",
    "mts": "video/mp2t",
    "m2ts": "video/mp2t",
    "flv": "video/x-flv",
    "wmv": "video/x-ms-asf",
    "3gp": "video/3gpp",
    "3g2": "video/3gpp",
    "ogv": "video/ogg",
    "gif": "image/gif",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "opus": "audio/ogg",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "flac": "audio/flac",
    "aif": "audio/aiff",
    "aiff": "audio/aiff",
    "caf": "audio/x-caf",
    "amr": "audio/amr",
}
# How files begin -> media type, in the order in which they are tried; `.` is any byte.
SIGNATURES = (
    (rb"....ftyp(?:M4A|M4B|F4A)", "audio/mp4"),
    (rb"....ftypqt", "video/quicktime"),
    (rb"....ftyp3g", "video/3gpp"),
    (rb"....ftyp", "video/mp4"),
    (rb"....(?:moov|mdat|wide|free|skip|pnot)", "video/quicktime"),
    (rb"\x1a\x45\xdf\xa3.{0,60}webm", "video/webm"),
    (rb"\x1a\x45\xdf\xa3", "video/x-matroska"),
    (rb"RIFF....AVI ", "video/x-msvideo"),
    (rb"(?:RIFF|RF64)....WAVE|riff\x2e\x91\xcf\x11", "audio/wav"),
    (rb"OggS.{0,400}\x80theora", "video/ogg"),
    (rb"OggS", "audio/ogg"),
    (rb"fLaC", "audio/flac"),
    (rb"FORM....AIF[FC]", "audio/aiff"),
    (rb"caff", "audio/x-caf"),
    (rb"FLV\x01", "video/x-flv"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"#!AMR", "audio/amr"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (rb"\x00\x00\x01[\xb3\xba]", "video/mpeg"),
    (rb"\x47.{187}\x47.{187}\x47|.{4}\x47.{191}\x47.{191}\x47", "video/mp2t"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
    (rb"ID3|\xff[\xe2-\xff]", "audio/mpeg"),
)
# Names of what people take for a clip.
OTHER_KINDS = (
    (rb"%PDF", N_("a PDF document")),
    (rb"PK\x03\x04", N_("a ZIP archive or an office document")),
    (rb"\x89PNG|\xff\xd8\xff|II\*\x00|MM\x00\*|RIFF....WEBP|BM", N_("a still picture")),
    (rb"MZ|\x7fELF", N_("a program")),
    (rb"#EXTM3U|ffconcat|\[playlist\]", N_("a playlist, which names other files")),
    (rb"WEBVTT|[0-9]+\s+[0-9:,.]+\s*-->", N_("captions")),
    (rb"\s*<(?:!doctype|html|\?xml)", N_("a web page or XML")),
    (rb"[\t\n\r -~]{16}", N_("text")),
)

# Accepted suffixes of caption files; what they hold is told by their content.
CAPTION_KINDS = ("srt", "vtt", "ass", "ssa", "sbv", "lrc", "sub", "ttml", "dfxp", "xml", "smi", "mpl", "txt")

MEGABYTE = 1_000_000
MAX_CAPTION_BYTES = 2_000_000
HEAD_BYTES = 1_000  # of a file, by which its kind is recognised
MAX_MEGABYTES = LIMITS.file_bytes // MEGABYTE
TITLE_CHARACTERS = 120


def media_type(name: str) -> str | None:
    """Return a file name's media type; None for a kind of file that is not accepted."""
    return MIME_TYPES.get(name.rpartition(".")[2].lower())


class KindError(PlainError):
    """A file of a kind that is not accepted."""


class SizeError(PlainError):
    """A file with more bytes than a clip may have."""


def mime_type(name: str, data: bytes) -> str:
    """Return the media type of a file by its content; a file that begins oddly is accepted by its name.

    Raises:
        KindError: If this kind of file is not accepted.
    """
    head = data[:HEAD_BYTES]
    # Whether it really is what it begins like, the extraction finds out.
    mime = _first(SIGNATURES, head) or (media_type(name) if _first(OTHER_KINDS[:4], head) is None else None)
    if mime is None:
        found = _first(OTHER_KINDS, head) or N_("something unknown")
        raise KindError(
            _("This kind of file is not accepted: it holds {found}, expected one of: {kinds}.").format(
                found=_(found), kinds=", ".join(MIME_TYPES)
            )
        )
    return mime


def _first(kinds: Sequence[tuple[bytes, str]], head: bytes) -> str | None:
    return next((kind for pattern, kind in kinds if re.match(pattern, head, re.DOTALL | re.IGNORECASE)), None)


def check_size(size: int, limits: Limits = LIMITS) -> None:
    """Check a file's size in bytes against the limit.

    Raises:
        SizeError: If it is too large.
    """
    if size > limits.file_bytes:
        raise SizeError(
            _("This file has {size:.0f} MB; the limit is {limit} MB. Cut it and try again.").format(
                size=size / MEGABYTE, limit=limits.file_bytes // MEGABYTE
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


def clip(
    name: str,
    data: bytes,
    *,
    transcript: str | None = None,
    captions: bytes | None = None,
    limits: Limits = LIMITS,
) -> Clip:
    """Make a clip of an uploaded file.

    Args:
        name: Of the file, as sent; its suffix is used only where the content does not tell the media type.
        data: The file's bytes.
        transcript: Of the clip; None or blank lets speech be recognised.
        captions: Bytes of a caption file, instead of a transcript.
        limits: What the clip may cost.

    Raises:
        KindError: If this kind of file is not accepted.
        SizeError: If it is too large.
        PlainError: As `said`.
    """
    check_size(len(data), limits)
    mime = mime_type(name, data)
    return Clip(title=title(name), data=data, mime=mime, transcript=said(transcript, captions), limits=limits)
