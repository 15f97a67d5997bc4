"""Caption tracks inside clips."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import pytest

from extractors import __main__ as command
from extractors.language.transcript import TranscriptError
from extractors.media.probe import MediaError, decode_captions, probe
from extractors.messages import Message
from extractors.pipeline import extract
from extractors.storage.config import ExtractionConfig
from tests.extractors.support.clips import tone

SAID = [(0.5, 1.5, "<i>Good</i> film"), (2.0, 3.0, "so schön")]


def caption(codec, number, text):
    """A packet's bytes as the codec has them."""
    if codec == "mov_text":
        return struct.pack(">H", len(text.encode())) + text.encode() + b"\x00\x00\x00\x08styl"
    if codec == "ass":
        return f"{number},0,Default,ANN,0,0,0,,{{\\i1}}{text}".encode()
    return text.encode()


def make_captioned(path, tracks, *, start=0.0, seconds=4.0):
    """Write a clip with a tone and caption tracks: (codec, language, [(start, end, text)]) each."""
    codec, form, layout = {
        ".mkv": ("pcm_s16le", "s16", "mono"),
        ".mp4": ("aac", "fltp", "mono"),
        ".webm": ("libopus", "flt", "mono"),
    }[path.suffix]
    with av.open(str(path), "w") as container:
        audio = container.add_stream(codec, rate=48_000, layout=layout)
        streams = []
        for name, language, _ in tracks:
            stream = container.add_mux_stream(name)
            stream.time_base = Fraction(1, 1000)
            stream.metadata["language"] = language
            streams.append(stream)
        resampler = av.AudioResampler(format=form, layout=layout, rate=48_000, frame_size=960)
        frame = av.AudioFrame.from_ndarray(tone(seconds, rate=48_000), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), round(start * 48_000)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
        for stream, (name, _, said) in zip(streams, tracks, strict=True):
            for number, (begin, end, text) in enumerate(said):
                packet = av.Packet(caption(name, number, text))
                packet.stream, packet.time_base = stream, Fraction(1, 1000)
                packet.pts = packet.dts = round((start + begin) * 1000)
                packet.duration = round((end - begin) * 1000)
                container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "subrip"), ("b.mkv", "webvtt"), ("c.mkv", "ass"), ("d.mp4", "mov_text"), ("e.webm", "webvtt")],
)
def test_a_caption_track_says_the_words_where_it_is_asked_for(tmp_path, name, codec):
    path = make_captioned(tmp_path / name, [(codec, "eng", SAID)])
    assert probe(path).caption_tracks == ("eng",)
    features = extract(path, caption_track=1)
    told = [(word.text, round(word.start, 1), round(word.end, 1)) for word in features.words]
    assert told == [("Good", 0.5, 1.0), ("film", 1.0, 1.5), ("so", 2.0, 2.3), ("schön", 2.3, 3.0)]
    assert features.transcript_source == "given"
    assert Message("caption_track_used", {"track": 1, "count": 1, "language": "eng"}) in features.notes
    assert {word.speaker for word in features.words} == ({"ANN"} if codec == "ass" else {None})


def test_caption_tracks_are_offered_and_never_used_silently(tmp_path):
    path = make_captioned(tmp_path / "clip.mkv", [("subrip", "eng", SAID), ("webvtt", "deu", SAID[:1])])
    features = extract(path)
    assert features.words == () and features.transcript_source == "none"
    assert Message("caption_tracks_there", {"count": 2, "languages": "eng, deu"}) in features.notes
    typed = extract(path, "a day")
    assert "caption_tracks_there" not in {note.code for note in typed.notes}
    assert [word.text for word in extract(path, caption_track=2).words] == ["Good", "film"]


def test_captions_count_from_where_the_clip_begins(tmp_path):
    path = make_captioned(tmp_path / "late.mkv", [("subrip", "eng", SAID)], start=20.0)
    assert [round(caption.start, 1) for caption in decode_captions(path, track=1)] == [0.5, 2.0]


def test_what_is_no_caption_track_is_a_sentence(tmp_path):
    path = make_captioned(tmp_path / "clip.mkv", [("subrip", "eng", SAID)])
    for track in (0, 2, -1):
        with pytest.raises(MediaError, match=f"no caption track {track}; the file has 1"):
            extract(path, caption_track=track)
    with pytest.raises(TranscriptError, match="not several"):
        ExtractionConfig(transcript="a", caption_track=1)
    empty = make_captioned(tmp_path / "empty.mkv", [("subrip", "eng", [(0.5, 1.0, "[door]")])])
    with pytest.raises(TranscriptError, match="no word"):
        extract(empty, caption_track=1)


def test_a_huge_caption_track_is_cut(tmp_path):
    said = [(index / 1000, index / 1000 + 0.5, "x" * 4_000) for index in range(300)]
    path = make_captioned(tmp_path / "huge.mkv", [("subrip", "eng", said)])
    with pytest.raises(TranscriptError, match="the limit is"):
        extract(path, caption_track=1)


def test_the_command_takes_a_caption_track(tmp_path, monkeypatch, capsys):
    path = make_captioned(tmp_path / "clip.mkv", [("subrip", "eng", SAID)])
    monkeypatch.setattr("sys.argv", ["clip", str(path), "--caption-track", "1"])
    assert command.main() == 0
    assert "schön" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["clip", str(path), "--caption-track", "5"])
    assert command.main() == 1
    assert "no caption track 5" in capsys.readouterr().err
