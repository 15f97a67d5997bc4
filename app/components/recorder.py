"""A recording made in the browser, camera and microphone.

A small component around the browser's MediaRecorder: what comes is one finished file, as an upload is, and goes the
same way. `streamlit-webrtc` would stream to the server instead, which needs aiortc, an older PyAV than ours and a STUN
server, for pictures that the network has thinned.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import streamlit as st

from app.i18n.translate import N_, _
from app.services.analysis import Clip
from app.services.errors import PlainError
from app.services.upload import check_size

SECONDS = 30  # longest recording
# Kinds that browsers record; what the bytes really are is found out when they are opened.
MIME_TYPES = ("video/webm", "video/mp4")

_FRONTEND = Path(__file__).with_name("frontend")
_RECORDER = st.components.v2.component(
    "recorder",
    html="""
    <video id="preview" playsinline hidden></video>
    <button id="record" type="button"></button>
    <button id="send" type="button" hidden></button>
    <p id="status" role="status"></p>
    """,
    css=(_FRONTEND / "recorder.css").read_text(encoding="utf-8"),
    js=(_FRONTEND / "recorder.js").read_text(encoding="utf-8"),
)


def record() -> Clip | None:
    """Show the recorder; return the recording in the run after it was handed over.

    Raises:
        PlainError: If what came is no recording, or too large.
    """
    result = _RECORDER(
        key="recorder",
        data={
            "seconds": SECONDS,
            "say": {
                "record": _("Record"),
                "stop": _("Stop"),
                "again": _("Record again"),
                "send": _("Analyse this recording"),
                "preview": _("Your recording"),
                "ready": _(
                    "Camera and microphone stay off until you press Record. At most {seconds} s; nothing leaves this "
                    "page before you ask for the analysis."
                ).format(seconds=SECONDS),
                "done": _("Look at it, then have it analysed or record again."),
                "sent": _("Handed over."),
                "silent": _("no microphone: without sound"),
                "unable": _(
                    "This browser does not record here: it needs https:// or localhost. Upload a file instead."
                ),
                "refused": _(
                    "The camera could not be used. Allow it in the browser's address bar, or upload a file instead."
                ),
            },
        },
        on_recording_change=_nothing,
    )
    return None if result.recording is None else received(result.recording)


def received(sent: object) -> Clip:
    """Check what the browser sent and make a clip of it; what the bytes are, `open_media` finds out.

    Raises:
        PlainError: If it is no recording, or too large.
    """
    mime, text = (sent.get("mime"), sent.get("base64")) if isinstance(sent, dict) else (None, None)
    if mime not in MIME_TYPES or not isinstance(text, str):
        raise PlainError(_("What the browser sent is no recording. Record again, or upload a file instead."))
    check_size(len(text) * 3 // 4 - 2)  # before anything is decoded
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PlainError(_("What the browser sent is no recording. Record again, or upload a file instead.")) from error
    return Clip(title=N_("Your recording"), data=data, mime=mime)


def _nothing() -> None:
    """A trigger of a component wants a callback, even if the run itself reads it."""
