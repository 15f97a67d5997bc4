"""The clip's player, and what kinds of file a browser plays."""

from __future__ import annotations

import streamlit as st

from app.stage import player_key
from app.state import Clip
from app.translate import _

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


def mime_type(name: str) -> str | None:
    """Return a file name's media type; None for a kind of file that is not taken."""
    return MIME_TYPES.get(name.rpartition(".")[2].lower())


def player(clip: Clip, *, number: int) -> None:
    """Show the clip of an analysis."""
    with st.container(key=player_key(number)):
        st.video(clip.data, format=clip.mime, alt=_("The analysed clip: {title}").format(title=clip.title))
    if clip.mime not in PLAYABLE:
        st.caption(_("Most browsers cannot play this format; the analysis is not affected."))
