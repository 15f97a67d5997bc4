"""The player of a clip."""

from __future__ import annotations

import streamlit as st

from app.components.stage import player_key
from app.i18n.translate import _
from app.services.analysis import Clip

# Media types that browsers play.
PLAYABLE = {"video/mp4", "video/webm", "video/quicktime", "video/ogg", "audio/mp4", "audio/mpeg", "audio/wav"}
PLAYABLE |= {"audio/ogg", "audio/flac", "audio/aac"}


def player(clip: Clip, *, number: int) -> None:
    """Show the clip of an analysis."""
    with st.container(key=player_key(number)):
        st.video(clip.data, format=clip.mime, alt=_("The analysed clip: {title}").format(title=clip.title))
    if clip.mime not in PLAYABLE:
        st.caption(_("Most browsers cannot play this format; the analysis is not affected."))
