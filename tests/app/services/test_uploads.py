"""Large uploads: the bytes that Streamlit holds are those of the clip, and nothing copies them in memory."""

from __future__ import annotations

import tracemalloc

from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from app.services import upload
from app.services.analysis import on_disk
from extractors.media.probe import LONG_LIMITS

SIZE = 200_000_000  # bytes


def test_a_large_upload_is_held_in_memory_once():
    content = b"RIFF\0\0\0\0WAVE".ljust(SIZE, b"\0")
    record = UploadedFileRec(file_id="a", name="talk.wav", type="audio/wav", data=content)
    tracemalloc.start()
    try:
        uploaded = UploadedFile(record, FileURLs())
        clip = upload.clip(uploaded.name, uploaded.getvalue(), limits=LONG_LIMITS)
        digest = clip.content[0]
        with on_disk(clip) as path:
            written = path.stat().st_size
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert clip.data is content
    assert written == SIZE and len(digest) == 64
    assert peak < SIZE / 100


def test_the_bytes_of_a_clip_are_hashed_once():
    clip = upload.clip("talk.wav", b"RIFF\0\0\0\0WAVE", limits=LONG_LIMITS)
    assert clip.content is clip.content
