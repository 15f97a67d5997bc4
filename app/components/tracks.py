"""The tracks of a file: which sound is heard and whose words are read, where there is a choice."""

from __future__ import annotations

import time
from dataclasses import replace

import streamlit as st

from app.i18n.translate import _
from app.services import session
from app.services.analysis import Analysis, Clip, predict_all
from app.services.jobs import Job

SOUND_NOTES = ("several_audio_tracks", "audio_track_asked")
CAPTION_NOTES = ("caption_tracks_there", "caption_track_used")


def choose(analysis: Analysis) -> None:
    """Let another sound track, or a caption track, of the file be used; without a choice nothing is shown."""
    sounds, captions = _count(analysis, SOUND_NOTES), _count(analysis, CAPTION_NOTES)
    if not sounds and not captions:
        return
    clip, number = analysis.clip, analysis.number
    with st.expander(_("Sound and captions of this file"), icon=":material/tune:"):
        with st.form(f"tracks-{number}", border=False):
            sound, words = clip.audio_track, clip.caption_track
            if sounds:
                sound = st.selectbox(
                    _("Sound track"),
                    range(sounds + 1),
                    index=sound or 0,
                    format_func=lambda track: _("Track {number}").format(number=track) if track else _("Most speech"),
                    key=f"sound-{number}",
                )
            if captions:
                words = st.selectbox(
                    _("Words"),
                    range(captions + 1),
                    index=words or 0,
                    format_func=lambda track: (
                        _("Caption track {number}").format(number=track) if track else _("As recognised")
                    ),
                    key=f"caption-track-{number}",
                )
            if not st.form_submit_button(_("Analyse again"), icon=":material/refresh:"):
                return
        said = None if words else clip.transcript
        tracks = {"audio_track": sound or None, "caption_track": words or None}
        _analyse(replace(clip, **tracks, transcript=said))
        st.rerun()


def _count(analysis: Analysis, codes: tuple[str, ...]) -> int:
    """Return how many tracks a note speaks of; 0 without such a note."""
    return next((int(note.values["count"]) for note in analysis.features.notes if note.code in codes), 0)


def _analyse(clip: Clip) -> None:
    """Predict from kept features; where there are none, the next run of the page begins with their extraction."""
    state, began = session.current(), time.perf_counter()
    if (features := state.kept.get(clip)) is not None:
        state.analysis = predict_all(clip, features, began=began, reused=True)
    else:
        state.job = Job(clip, owner=state.owner)
