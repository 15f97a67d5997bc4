"""Sound as people record it: several tracks, many channels, wrong clocks, files that break off."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from extractors.media.audio import SAMPLE_RATE, decode_audio
from extractors.media.probe import Limits, MediaError, probe
from tests.extractors.support.clips import every, grey, make_clip, make_sound, tone

NOISE = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)


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
    assert probe(path).seconds == pytest.approx(2, abs=0.15)
    beside = make_clip(tmp_path / "y.mkv", frames=every(2, grey(128)), sound=tone(2), sound_start=5_000.0)
    info = probe(beside)
    assert info.seconds == pytest.approx(2, abs=0.15) and not info.ends_early
    sound, notes = decoded(beside)
    assert sound.end == pytest.approx(2, abs=0.15) and notes == ["audio_times_wrong"]


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


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [("wav", "pcm_s16le", 16_000), ("m4a", "aac", 16_000), ("mp3", "libmp3lame", 16_000), ("opus", "libopus", 48_000),
     ("ogg", "libopus", 48_000), ("flac", "flac", 16_000), ("aiff", "pcm_s16be", 16_000),
     ("caf", "pcm_s16le", 16_000),
     ("3gp", "aac", 16_000), ("ts", "mp2", 16_000), ("aac", "aac", 16_000)],
)  # fmt: skip
def test_sound_files_are_read_whatever_their_name(tmp_path, suffix, codec, rate):
    path = tmp_path / f"x.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(2, rate=rate), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format, "mono", rate, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    renamed = path.rename(tmp_path / "clip.bin")
    assert probe(renamed).seconds == pytest.approx(2, abs=0.15)
    assert len(decode_audio(renamed).samples) == pytest.approx(2 * SAMPLE_RATE, rel=0.06)


def test_a_gif_with_motion_is_a_clip(tmp_path):
    path = tmp_path / "x.gif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8"
        for index in range(10):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(grey(25 * index), format="rgb24").reformat(format="rgb8"))
            )
        container.mux(stream.encode(None))
    info = probe(path)
    assert info.video_codec == "gif" and info.seconds == pytest.approx(1, abs=0.15)
