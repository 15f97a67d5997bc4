"""A recorder for the browser's camera and microphone.

A small component around the browser's MediaRecorder: it returns one finished file, which is then treated as an upload.
`streamlit-webrtc` would stream to the server instead, which needs aiortc, an older PyAV than ours and a STUN server,
and loses frames on a slow network.
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

MAX_SECONDS = 30  # of a recording
# Media types that browsers record; the real format is detected when the bytes are opened.
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
    css=(_FRONTEND / "camera.css").read_text(encoding="utf-8"),
    js="\n".join((_FRONTEND / name).read_text(encoding="utf-8") for name in ("camera.js", "recorder.js")),
)


def record() -> Clip | None:
    """Show the recorder; return the recording in the run after it was sent.

    Raises:
        PlainError: If the browser sent something else, or too much.
    """
    result = _RECORDER(
        key="recorder",
        data={
            "seconds": MAX_SECONDS,
            "labels": {
                "record": _("Record"),
                "stop": _("Stop"),
                "again": _("Record again"),
                "send": _("Analyse this recording"),
                "preview": _("Your recording"),
                "ready": _(
                    "Camera and microphone stay off until you press Record. At most {seconds} s; nothing leaves this "
                    "page before you ask for the analysis."
                ).format(seconds=MAX_SECONDS),
                "done": _("Check the recording, then analyse it or record again."),
                "sent": _("Sent."),
                **camera_labels(),
            },
        },
        on_recording_change=_nothing,
    )
    return None if result.recording is None else received(result.recording)


def received(sent: object) -> Clip:
    """Check what the browser sent and make a clip of it; `open_media` checks the bytes later.

    Raises:
        PlainError: If it is not a recording, or too large.
    """
    mime, text = (sent.get("mime"), sent.get("base64")) if isinstance(sent, dict) else (None, None)
    if mime not in MIME_TYPES or not isinstance(text, str):
        raise PlainError(not_a_recording())
    check_size(len(text) * 3 // 4 - 2)  # before anything is decoded
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PlainError(not_a_recording()) from error
    return Clip(title=N_("Your recording"), data=data, mime=mime)


def camera_labels() -> dict[str, str]:
    """Return what the browser says of its camera, for `frontend/camera.js` and who uses it."""
    return {
        "silent": _("no microphone: without sound"),
        "unable": _("This browser does not record here: it needs https:// or localhost. Upload a file instead."),
        "refused": _("The camera could not be used. Allow it in the browser's address bar, or upload a file instead."),
    }


def not_a_recording() -> str:
    """Return the sentence for what cannot have come from a recorder."""
    return _("What the browser sent is not a recording. Record again, or upload a file instead.")


def _nothing() -> None:
    """Do nothing: a component's trigger needs a callback, even if the run itself reads it."""
