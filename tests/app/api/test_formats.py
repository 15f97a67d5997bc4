"""Every kind of file that extraction reads, over HTTP and on screen: told by its content, whatever its name is."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest

from app.services import upload
from benchmarks.server import running
from tests.app.api.test_endpoints import ask, form
from tests.extractors.media.test_caption_tracks import SAID, make_captioned
from tests.extractors.support.clips import grey, tone

SECONDS = 1.0
RATE = 48_000
# Kind of file -> (FFmpeg's container, sound codec, video codec)
KINDS = {
    "wav": ("wav", "pcm_s16le", None),
    "m4a": ("ipod", "aac", None),
    "mp3": ("mp3", "libmp3lame", None),
    "opus": ("opus", "libopus", None),
    "ogg": ("ogg", "libopus", None),
    "flac": ("flac", "flac", None),
    "aiff": ("aiff", "pcm_s16be", None),
    "caf": ("caf", "pcm_s16le", None),
    "3gp": ("3gp", "aac", "mpeg4"),
    "mts": ("mpegts", "aac", "libx264"),
    "ts": ("mpegts", "mp2", "mpeg2video"),
    "avi": ("avi", "mp2", "mpeg4"),
    "flv": ("flv", "libmp3lame", "flv"),
    "gif": ("gif", None, "gif"),
}


def made(kind):
    """Bytes of a clip of a second: a tone, a grey picture that changes, or both."""
    container_name, sound, picture = KINDS[kind]
    rate = 44_100 if kind == "flv" else RATE
    file = io.BytesIO()
    with av.open(file, "w", format=container_name) as container:
        audio = container.add_stream(sound, rate=rate, layout="mono") if sound else None
        video = None
        if picture:
            video = container.add_stream(picture, rate=25)
            video.width, video.height = 176, 144
            video.pix_fmt = "rgb8" if picture == "gif" else "yuv420p"
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(tone(SECONDS, rate=rate), format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
            size = audio.codec_context.frame_size or 1024
            resampler = av.AudioResampler(audio.codec_context.format, "mono", rate, frame_size=size)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
        if video is not None:
            for index in range(round(25 * SECONDS)):
                image = av.VideoFrame.from_ndarray(grey(8 * index, width=176, height=144), format="rgb24")
                container.mux(video.encode(image.reformat(format=video.pix_fmt)))
            container.mux(video.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with running(tmp_path_factory.mktemp("server") / "server.log") as number:
        yield number


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_file_is_accepted_on_screen_by_its_content(kind):
    data = made(kind)
    for name in (f"clip.{kind}", "clip.bin", "clip", "clip.txt", "clip.mp4"):
        clip = upload.clip(name, data)
        assert clip.mime.split("/")[0] == ("image" if kind == "gif" else "video" if KINDS[kind][2] else "audio")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_file_is_analysed_over_http(port, kind):
    status, _, plain = ask(port, body=form(file=made(kind), name="clip.bin", transcript="a fine day"))
    assert status == 200, plain
    assert [word["text"] for word in plain["transcript"]["words"]] == ["a", "fine", "day"]
    assert "language" in plain["prediction"]["used"]


def test_what_only_looks_like_a_kind_of_file_is_a_sentence(port):
    for head in (b"fLaC", b"RIFF\x24\x00\x00\x00WAVEfmt ", b"OggS\x00\x02", b"GIF89a\x01\x00\x01\x00"):
        status, _, plain = ask(port, body=form(file=head + bytes(2_000), name="clip.wav"))
        assert (status, plain["error"]["code"]) == (422, "unusable_clip"), plain


def test_the_name_of_a_file_says_nothing_about_its_kind():
    data = made("flac")
    assert {upload.clip(name, data).mime for name in ("a.mp4", "a.flac", "a.exe", "a.srt")} == {"audio/flac"}


def test_a_caption_track_is_used_over_http(port, tmp_path):
    path = make_captioned(tmp_path / "clip.mkv", [("subrip", "eng", SAID)])
    status, _, plain = ask(port, body=form(file=path.read_bytes(), caption_track="1", modalities="language"))
    assert status == 200, plain
    assert [word["text"] for word in plain["transcript"]["words"]] == ["Good", "film", "so", "schön"]
