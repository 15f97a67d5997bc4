from __future__ import annotations

import numpy as np
import pytest

from extractors.audio import quality, voice_activity
from extractors.media.audio import SAMPLE_RATE, decode_audio
from tests.paths import SAMPLES

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def speech():
    return decode_audio(SAMPLES / "positive.webm").samples


def ratio(samples, segments):
    return quality.overall(quality.signal_to_noise(samples, segments, start=0.0))


def test_quiet_speech_is_raised_and_found_again(speech):
    quiet = (speech * 10 ** (-50 / 20)).astype(np.float32)
    assert quality.raised(speech) is speech
    found, expected = (voice_activity.segments(each) for each in (quality.raised(quiet), speech))
    assert np.allclose(found, expected, atol=0.1)


def test_silence_is_not_raised():
    silence = np.zeros(SAMPLE_RATE, np.float32)
    assert quality.raised(silence) is silence and len(quality.raised(silence[:0])) == 0


def test_narrow_sound_is_told_by_its_spectrum(speech):
    spectrum = np.fft.rfft(speech)
    spectrum[np.fft.rfftfreq(len(speech), 1 / SAMPLE_RATE) > 3_800] = 0
    narrow = np.fft.irfft(spectrum, len(speech)).astype(np.float32)
    assert quality.is_narrow(narrow) and not quality.is_narrow(speech)
    assert not quality.is_narrow(np.zeros(SAMPLE_RATE, np.float32)) and not quality.is_narrow(speech[:10])


def test_the_ratio_falls_with_noise_under_the_speech(speech):
    segments = voice_activity.segments(speech)
    power = np.square(speech).mean()
    found = [
        ratio(speech + RNG.normal(0, np.sqrt(power / 10 ** (db / 10)), len(speech)).astype(np.float32), segments)
        for db in (30, 15, 0)
    ]
    assert found[0] > 20 > found[1] > quality.NOISY_DB - 2 > found[2]
    assert ratio(speech, segments) > 30
    track = quality.signal_to_noise(speech, [], start=1.0)
    assert np.isnan(track.values).all() and quality.overall(track) is None


def test_music_under_speech_lowers_the_ratio(speech):
    """Chords of three tones with their harmonics, one every half second, which fade."""
    seconds = np.arange(len(speech)) / SAMPLE_RATE
    roots = np.array([220.0, 174.6, 261.6, 196.0])[(seconds / 0.5).astype(int) % 4]
    phases = 2 * np.pi * roots * seconds
    chord = sum(np.sin(phases * tone * part) / part for tone in (1, 1.26, 1.5) for part in (1, 2, 3))
    music = (chord * np.exp(-(seconds % 0.5))).astype(np.float32)
    segments = voice_activity.segments(speech)
    music *= np.sqrt(np.square(speech).mean() / np.square(music).mean())
    loud, soft = (ratio(speech + gain * music, segments) for gain in np.float32([0.7, 0.02]))
    assert loud < quality.NOISY_DB < soft
