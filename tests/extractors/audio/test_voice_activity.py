from __future__ import annotations

import numpy as np
import pytest

from extractors import pipeline
from extractors.audio.voice_activity import PAD_MS, SAMPLE_RATE, segments, track, with_onsets
from extractors.media.probe import decode_audio
from tests.extractors.support.clips import make_clip, tone
from tests.paths import SAMPLES


def sine(hertz, seconds=2.0, loudness=0.5):
    return (loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(
        np.float32
    )


def later(samples, seconds=1.0):
    """The same between two silences: an onset, not a beginning."""
    silence = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    return np.concatenate([silence, samples, silence])


@pytest.mark.parametrize("loudness", [0.05, 0.5])
@pytest.mark.parametrize("hertz", [60, 100, 150, 160, 220, 250, 350, 440, 1000])
def test_a_pure_tone_is_no_voice(hertz, loudness):
    samples = sine(hertz, loudness=loudness)
    assert segments(samples) == [] and segments(later(samples)) == []


@pytest.mark.parametrize("loudness", [0.01, 0.1, 0.4])
def test_noise_is_no_voice(loudness):
    samples = np.random.default_rng(0).normal(0, loudness, 4 * SAMPLE_RATE).astype(np.float32)
    assert segments(samples) == [] and segments(later(samples)) == []


@pytest.mark.parametrize("hertz", [110.0, 220.0])
def test_of_a_buzz_at_most_its_onset_is_voice(hertz):
    for samples in (tone(4, hertz=hertz)[0], later(tone(4, hertz=hertz)[0])):
        assert sum(end - begin for begin, end in segments(samples)) < 0.7


@pytest.mark.parametrize("name", ["positive.webm", "negative.webm", "neutral.webm", "no-face.webm"])
def test_speech_is_voice_and_the_pauses_in_it_are_not(name):
    sound = decode_audio(SAMPLES / name)
    found = segments(sound.samples, start=3.0)
    voiced = sum(end - begin for begin, end in found)
    assert 0.5 < voiced / sound.end < 0.9
    edges = [edge for segment in found for edge in segment]
    assert edges == sorted(edges) and 3.0 <= edges[0] and edges[-1] <= 3.0 + sound.end
    # Each segment is whole: what is between two of them is softer than what is in them.
    loudness = np.abs(sound.samples)
    inside = np.zeros(len(loudness), bool)
    for begin, end in found:
        inside[round((begin - 3.0) * SAMPLE_RATE) : round((end - 3.0) * SAMPLE_RATE)] = True
    assert loudness[inside].mean() > 5 * loudness[~inside].mean()


def test_a_short_word_alone_is_voice():
    sound = decode_audio(SAMPLES / "positive.webm")
    begin = round(segments(sound.samples)[0][0] * SAMPLE_RATE)
    word = sound.samples[begin : begin + round(0.3 * SAMPLE_RATE)]
    ((first, last),) = segments(later(word))
    assert 1.0 - 2 * PAD_MS / 1000 <= first < last <= 1.5


def test_nothing_is_no_voice():
    assert segments(np.zeros(0, np.float32)) == segments(np.zeros(100, np.float32)) == []


def test_the_track_marks_silence():
    drawn = track([(1.2, 1.5), (1.8, 9.0)], start=1.0, end=2.0)
    assert drawn.name == "voice activity" and len(drawn.values) == 100 and drawn.seconds[0] == 1.0
    assert drawn.values[:20].sum() == 0 and drawn.values[21:49].all()
    assert drawn.values[51:79].sum() == 0 and drawn.values[81:].all()


def test_a_clips_track_separates_speech_from_a_tone(tmp_path):
    def activity(path):
        features = pipeline.extract(path, "a day")
        return next(drawn.values for drawn in features.tracks if drawn.name == "voice activity")

    assert 0.5 < activity(SAMPLES / "positive.webm").mean() < 0.9
    humming = make_clip(tmp_path / "hum.mkv", sound=sine(220)[None])
    assert not activity(humming).any()


def test_segments_begin_where_their_sound_does():
    rng = np.random.default_rng(0)
    samples = np.concatenate([rng.normal(0, level, SAMPLE_RATE) for level in (1e-4, 0.1, 1e-4, 0.1)]).astype(np.float32)
    found = [(1.2, 2.05), (2.95, 4.0)]
    assert with_onsets(samples, found) == [(1.0, 2.05), (3.0, 4.0)]
    silent = np.zeros_like(samples)
    assert with_onsets(silent, found) == found
    assert with_onsets(samples, []) == []
    assert with_onsets(samples[:100], [(0.0, 0.006)]) == [(0.0, 0.006)]
