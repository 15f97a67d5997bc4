"""Clips of minutes: limits by configuration, and memory that does not grow with their length beyond the features."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from extractors.audio import quality
from extractors.language.speech_states import BLOCK_SAMPLES, MIN_SAMPLES, _windows
from extractors.language.transcript import MAX_WORDS, split_words
from extractors.media.audio import SAMPLE_RATE, _one_channel
from extractors.media.container import MEGABYTES_VARIABLE, SECONDS_VARIABLE
from extractors.media.probe import LIMITS, LONG_LIMITS, MediaError, configured_limits, decode_frames, probe
from extractors.workers.process import Budget
from tests.extractors.support.clips import grey, make_clip, tone

MINUTE = 60 * SAMPLE_RATE  # samples


def test_the_longest_clip_is_fifteen_minutes_and_500_mb_unless_the_environment_says_otherwise(monkeypatch):
    assert configured_limits() == LONG_LIMITS
    assert (LONG_LIMITS.seconds, LONG_LIMITS.file_bytes) == (900.0, 500_000_000)
    assert LONG_LIMITS.frames >= 60 * LONG_LIMITS.seconds  # 60 a second
    monkeypatch.setenv(SECONDS_VARIABLE, "60")
    monkeypatch.setenv(MEGABYTES_VARIABLE, "2.5")
    limits = configured_limits()
    assert (limits.seconds, limits.file_bytes, limits.frames) == (60.0, 2_500_000, LIMITS.frames)
    assert limits.pixels == LIMITS.pixels


@pytest.mark.parametrize("stated", ["0", "-1", "ten", "nan", "inf"])
@pytest.mark.parametrize("variable", [SECONDS_VARIABLE, MEGABYTES_VARIABLE])
def test_a_limit_is_a_positive_number(monkeypatch, variable, stated):
    monkeypatch.setenv(variable, stated)
    with pytest.raises(ValueError, match=f"{variable}: '{stated}', expected a positive number"):
        configured_limits()


def test_a_talk_with_two_pictures_a_minute_is_read_whole_where_it_may_last_long(tmp_path):
    """Slides: each picture is shown for half a minute."""
    frames = [(30.0 * index, grey(20 * index)) for index in range(9)]
    talk = make_clip(tmp_path / "slides.mkv", frames=frames, sound=tone(250.0, hertz=150.0))
    assert probe(talk, LONG_LIMITS).seconds == pytest.approx(250.0, abs=0.2)
    moments = [second for second, _ in decode_frames(talk, 1.0, LONG_LIMITS)]
    assert len(moments) >= 240 and moments[-1] >= 239
    with pytest.raises(MediaError, match="longer than 120 seconds"):
        probe(talk)


def test_fifteen_minutes_of_fast_speech_are_no_too_long_transcript():
    words = split_words(" ".join(["word"] * round(4.4 * LONG_LIMITS.seconds)))
    assert len(words) <= MAX_WORDS


def test_a_budget_grows_with_the_length_that_is_allowed():
    assert Budget.of(LIMITS.seconds) == Budget()
    assert Budget.of(900.0).cpu_seconds == 1800.0
    assert Budget.of(900.0).memory_bytes == Budget().memory_bytes


def test_stereo_sound_of_minutes_needs_little_beyond_itself():
    """Pieces as the resampler gives them; the left channel is the right one inverted."""
    rng = np.random.default_rng(0)
    left = rng.normal(0, 0.1, (4 * MINUTE // 4000, 4000)).astype(np.float32)
    pieces = [np.stack([part, -part], axis=1) for part in left]
    notes = []
    tracemalloc.start()
    try:
        mono = _one_channel(pieces, 1.0, notes.append)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [note.code for note in notes] == ["audio_channels_cancel"]
    assert sum(map(len, mono)) == 4 * MINUTE
    assert peak < 1.5 * 4 * (4 * MINUTE)  # bytes of the result, float32


def test_the_quality_of_minutes_is_what_it_is_of_the_parts_and_needs_little():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, 5 * MINUTE).astype(np.float32)
    noise[MINUTE : 2 * MINUTE] *= 20  # somebody speaks
    tracemalloc.start()
    try:
        track = quality.signal_to_noise(noise, [(60.0, 120.0)], start=0.0)
        assert not quality.is_narrow(noise)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 4 * quality.BLOCK * 2 + 8 * 4 * len(noise) // quality.FRAME * 4
    around = slice(50 * SAMPLE_RATE // quality.FRAME * quality.FRAME, 130 * SAMPLE_RATE)
    part = quality.signal_to_noise(noise[around], [(60.0, 120.0)], start=around.start / SAMPLE_RATE)
    assert np.isfinite(track.values).sum() == 600
    assert quality.overall(track) == pytest.approx(quality.overall(part), abs=0.2)


def test_a_spectrogram_is_made_of_blocks_and_a_short_clip_of_one():
    made = []

    def spectrogram(samples):
        made.append(len(samples))
        return np.zeros((80, len(samples) // 160), np.float32)

    short = list(_windows(np.zeros(45 * SAMPLE_RATE, np.float32), spectrogram))
    assert made == [45 * SAMPLE_RATE] and [window.shape[1] for window in short] == [3000, 1500]
    made.clear()
    long = list(_windows(np.zeros(2 * BLOCK_SAMPLES + MIN_SAMPLES - 1, np.float32), spectrogram))
    assert made == [BLOCK_SAMPLES] * 2 and len(long) == 8  # a rest of less than 0.1 s says nothing
