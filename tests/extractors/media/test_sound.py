"""Sound as people record it: several tracks, many channels, wrong clocks, files that break off."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from extractors.media.audio import SAMPLE_RATE, decode_audio
from extractors.media.probe import Limits, MediaError, probe
from tests.extractors.support.clips import every, grey, make_clip, tone

NOISE = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)


def make_sound(path, tracks, *, layout="mono", default=None, shift=0.0, languages=()):
    """Write sound tracks of (channels, samples), the first shifted in time."""
    with av.open(str(path), "w") as container:
        streams = []
        for index, _ in enumerate(tracks):
            stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout=layout)
            if languages:
                stream.metadata["language"] = languages[index]
            if default is not None:
                stream.disposition = av.stream.Disposition.default if index == default else av.stream.Disposition(0)
            streams.append(stream)
        for stream, sound in zip(streams, tracks, strict=True):
            packed = (np.clip(sound, -1, 1).T.reshape(1, -1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = round(shift * SAMPLE_RATE)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def level(sound):
    return float(np.sqrt(np.square(sound.samples).mean()))


def decoded(path, **options):
    notes = []
    return decode_audio(path, report=lambda note: notes.append(note.code), **options), notes


def test_channels_that_cancel_are_not_averaged(tmp_path):
    voice = tone(2)
    sound, notes = decoded(make_sound(tmp_path / "x.mkv", [np.concatenate([voice, -voice])], layout="stereo"))
    assert level(sound) == pytest.approx(float(np.sqrt(np.square(voice).mean())), rel=0.01)
    assert notes == ["audio_channels_cancel"]


@pytest.mark.parametrize("side", [0, 1])
def test_speech_in_one_channel_stays_as_loud(tmp_path, side):
    both = np.zeros((2, 2 * SAMPLE_RATE), np.float32)
    both[side] = tone(2)[0]
    sound, notes = decoded(make_sound(tmp_path / "x.mkv", [both], layout="stereo"))
    assert level(sound) == pytest.approx(float(np.sqrt(np.square(both[side]).mean())), rel=0.01) and notes == []


def test_two_channels_with_something_each_are_averaged(tmp_path):
    both = np.stack([tone(2)[0], NOISE])
    sound, _ = decoded(make_sound(tmp_path / "x.mkv", [both], layout="stereo"))
    assert np.allclose(sound.samples, both.mean(axis=0), atol=1e-3)


def test_the_centre_leads_and_low_frequencies_are_left_out(tmp_path):
    channels = np.zeros((6, 2 * SAMPLE_RATE), np.float32)  # FL FR FC LFE BL BR
    channels[2], channels[3] = tone(2)[0], 0.9
    sound, _ = decoded(make_sound(tmp_path / "x.mkv", [channels], layout="5.1"))
    assert np.allclose(sound.samples, channels[2], atol=1e-3)
    channels[4] = NOISE
    sound, _ = decoded(make_sound(tmp_path / "y.mkv", [channels], layout="5.1"))
    mixed = channels[2] + NOISE / 2
    gain = min(1.0, np.sqrt(max(np.square(channels[2]).sum(), np.square(NOISE).sum()) / np.square(mixed).sum()))
    assert np.allclose(sound.samples, gain * mixed, atol=2e-3)


def test_the_default_track_is_preferred_then_an_english_one_and_others_can_be_chosen(tmp_path):
    tracks = [tone(2), NOISE[None]]
    flagged = make_sound(tmp_path / "a.mkv", tracks, default=1)
    assert probe(flagged).audio_tracks == 2 and probe(flagged).audio_track == 2
    tagged = make_sound(tmp_path / "b.mkv", tracks, default=-1, languages=("ger", "eng"))
    assert probe(tagged).audio_track == 2
    assert np.allclose(decoded(flagged, track=1)[0].samples, tone(2)[0], atol=1e-3)
    with pytest.raises(MediaError, match="no sound track 3; the file has 2"):
        decoded(flagged, track=3)


def test_wall_clock_stamps_are_no_long_clip(tmp_path):
    path = make_sound(tmp_path / "x.mkv", [tone(2)], shift=5_000.0)
    assert probe(path).seconds == pytest.approx(2, abs=0.1)
    beside = make_clip(tmp_path / "y.mkv", frames=every(2, grey(128)), sound=tone(2), sound_start=5_000.0)
    info = probe(beside)
    assert info.seconds == pytest.approx(2, abs=0.1) and not info.ends_early
    sound, notes = decoded(beside)
    assert sound.end == pytest.approx(2, abs=0.1) and notes == ["audio_times_wrong"]


def test_a_clip_that_is_really_too_long_is_refused_still(tmp_path):
    with pytest.raises(MediaError, match="longer than 1 seconds"):
        probe(make_sound(tmp_path / "x.mkv", [tone(2)]), Limits(seconds=1.0))


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".mov", ".mp4"])
def test_a_file_that_breaks_off_is_known_to(tmp_path, suffix):
    rate = 48_000 if suffix == ".webm" else SAMPLE_RATE
    whole = make_clip(tmp_path / f"x{suffix}", frames=every(2, grey(128)), sound=tone(2, rate=rate), rate=rate)
    assert not probe(whole).ends_early
    content = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(content[: round(len(content) * 0.6)])
    try:
        assert probe(cut).ends_early
    except MediaError:
        assert suffix in (".mov", ".mp4")  # their index stands at the end
