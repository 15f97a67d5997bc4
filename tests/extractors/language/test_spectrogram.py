"""The spectrogram in blocks against the library's own, which is made at once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from extractors.language import asr, spectrogram
from extractors.language.spectrogram import BlockSpectrogram
from extractors.media.audio import SAMPLE_RATE
from extractors.media.probe import decode_audio
from tests.paths import SAMPLES

CLIPS = ("positive.webm", "neutral.webm", "negative.webm")


def noise(samples):
    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("beyond", [-1, 0, 1, 159, 160, 161, 40_000])
def test_blocks_join_to_the_spectrogram_of_the_whole(monkeypatch, beyond):
    monkeypatch.setattr(spectrogram, "BLOCK_FRAMES", 250)
    sound = noise(3 * 250 * 160 + beyond)
    sound[: len(sound) // 2] *= 1e-6  # the loudest moment of the whole bounds the softest
    expected, made = FeatureExtractor()(sound), BlockSpectrogram()(sound)
    assert made.dtype == expected.dtype and np.array_equal(made, expected)


def test_the_spectrogram_of_minutes_is_the_library_s_to_the_last_bit():
    sound = noise(3 * 60 * SAMPLE_RATE + 77)
    assert len(sound) > spectrogram.BLOCK_FRAMES * 160
    assert np.array_equal(BlockSpectrogram()(sound), FeatureExtractor()(sound))


@pytest.mark.parametrize("name", CLIPS)
def test_words_and_times_of_short_clips_are_those_of_the_library(monkeypatch, name):
    sound = decode_audio(SAMPLES / name).samples
    assert 5 * SAMPLE_RATE < len(sound) < 30 * SAMPLE_RATE
    monkeypatch.setattr(spectrogram, "BLOCK_FRAMES", 100)  # else the whole clip is one block
    in_blocks = asr.recognise(sound)
    whisper = asr.load().whisper
    monkeypatch.setattr(whisper, "feature_extractor", FeatureExtractor(**whisper.feat_kwargs))
    assert asr.recognise(sound) == in_blocks and in_blocks.words


def test_a_recogniser_makes_its_spectrograms_in_blocks_of_its_own_bands():
    whisper = asr.load().whisper
    assert isinstance(whisper.feature_extractor, BlockSpectrogram)
    assert whisper.feature_extractor(noise(SAMPLE_RATE)).shape[0] == whisper.model.n_mels
    wide = BlockSpectrogram(feature_size=128)  # as Whisper large wants it
    assert wide(noise(130 * SAMPLE_RATE)).shape == (128, 13_001)


def test_the_spectrogram_of_minutes_needs_little_beyond_itself():
    def peak(minutes):
        sound, make = noise(minutes * 60 * SAMPLE_RATE), BlockSpectrogram()
        tracemalloc.start()
        try:
            made = make(sound)
            return tracemalloc.get_traced_memory()[1] - made.nbytes
        finally:
            tracemalloc.stop()

    grown = peak(8) - peak(4)  # bytes
    samples = 4 * 60 * SAMPLE_RATE
    assert grown < 4 * (2 * samples + samples / 160 * 201)  # padded sound and power spectrum, float32
