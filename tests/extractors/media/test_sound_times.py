"""Time stamps of sound that are late, edited, or run at another speed than the sound."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from extractors.media.probe import SAMPLE_RATE, MediaError, decode_audio, probe
from tests.extractors.support.clips import every, grey, make_clip, tone


def heard(path):
    notes = []
    sound = decode_audio(path, report=lambda note: notes.append(note.code))
    return probe(path), sound, notes


def make_drifting(path, factor, *, seconds=8.0):
    """Write sound whose time stamps run `factor` times as fast as it plays."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        samples = (tone(seconds)[0] * 32767).astype(np.int16)
        packets = []
        for begin in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + 1024], format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), begin
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            packet.pts = packet.dts = round(packet.pts * factor)
            container.mux(packet)
    return path


@pytest.mark.parametrize("factor", [0.5, 0.98, 1.02, 5, 20, 1000])
def test_drift_makes_no_long_clip_and_loses_no_sound(tmp_path, factor):
    info, sound, notes = heard(make_drifting(tmp_path / "x.mkv", factor))
    assert info.seconds <= 8 * min(max(factor, 1), 1.02) + 0.1 and not info.ends_early
    assert 8 - 0.1 <= sound.end <= 8.2
    assert notes == (["audio_times_wrong"] if factor > 2 else [])


def test_a_pause_between_two_stretches_of_sound_is_no_drift(tmp_path):
    early = make_drifting(tmp_path / "x.mkv", 1.0, seconds=1.0)
    with av.open(str(early)) as container:
        stamps = [packet.pts for packet in container.demux(audio=0) if packet.pts is not None]
    assert len(stamps) > 10
    path = tmp_path / "y.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for start in (0.0, 5.0):
            packed = (tone(1.0) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), round(start * 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info, sound, notes = heard(path)
    assert info.seconds == pytest.approx(6, abs=0.1) and sound.end == pytest.approx(6, abs=0.01) and not notes
    assert not sound.samples[2 * SAMPLE_RATE : 4 * SAMPLE_RATE].any()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".flv"])
def test_sound_that_begins_late_keeps_its_time(tmp_path, suffix):
    rate = 48_000 if suffix == ".ts" else SAMPLE_RATE
    rate = 44_100 if suffix == ".flv" else rate
    path = make_clip(
        tmp_path / f"x{suffix}", frames=every(4, grey(99)), sound=tone(2, rate=rate), rate=rate, sound_start=2.0
    )
    info, sound, notes = heard(path)
    assert info.seconds == pytest.approx(4, abs=0.2) and not notes
    assert sound.end == pytest.approx(4, abs=0.15)
    loud = np.flatnonzero(np.abs(sound.samples) > 0.05)[0] / SAMPLE_RATE + sound.start
    assert loud == pytest.approx(2, abs=0.1)


def test_an_edit_list_that_begins_after_hours_is_no_long_clip(tmp_path):
    path = make_clip(tmp_path / "x.mp4", frames=every(2, grey(99)), sound=tone(2), sound_start=7_200.0)
    info, sound, notes = heard(path)
    assert info.seconds == pytest.approx(2, abs=0.2) and sound.end == pytest.approx(2, abs=0.2)
    assert notes == ["audio_times_wrong"]


def test_an_edit_list_that_lies_about_its_length_is_not_believed(tmp_path):
    path = make_clip(tmp_path / "x.mp4", frames=every(2, grey(99)), sound=tone(2))
    content = bytearray(path.read_bytes())
    places = [place for place in range(len(content)) if content[place : place + 4] == b"elst"]
    assert len(places) == 2
    for place in places:  # version and flags, number of entries, then the first entry's length
        content[place + 12 : place + 16] = (10**9).to_bytes(4, "big")
    path.write_bytes(content)
    info, sound, _ = heard(path)
    assert info.seconds == pytest.approx(2, abs=0.2) and sound.end == pytest.approx(2, abs=0.2)


def test_sound_longer_than_the_limit_stays_refused_whatever_its_stamps_say(tmp_path):
    path = make_drifting(tmp_path / "x.mkv", 0.1, seconds=125.0)
    with pytest.raises(MediaError, match="longer than 120"):
        probe(path)
    with pytest.raises(MediaError, match="longer than 120"):
        decode_audio(path)
