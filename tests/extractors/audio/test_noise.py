"""Noise: measured ratios, and the same numbers through a process of its own."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from extractors.audio import acoustic, noise
from extractors.language import word_features
from extractors.media import probe
from extractors.messages import Message
from extractors.schema import STEP_ARRAYS, ModalityFeatures, Word
from extractors.workers import client
from extractors.workers.client import CancelledError, MediaError
from tests.extractors.support.clips import every, grey, make_clip
from tests.paths import SAMPLES

SAMPLE = SAMPLES / "positive.webm"
SAID = ("not", "a", "good", "film")
WORDS = tuple(Word(text=text, start=float(place), end=place + 0.5) for place, text in enumerate(SAID))


def equal(one: ModalityFeatures, other: ModalityFeatures) -> bool:
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in STEP_ARRAYS)
    return same and one.absent == other.absent


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 20.0])
def test_the_ratio_is_the_one_asked_for(snr_db):
    sound = np.sin(np.arange(160_000) / 7).astype(np.float32) * 0.3
    added = noise.add_noise(sound, snr_db=snr_db, seed=1) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.1)
    assert abs(np.corrcoef(added[1:], added[:-1])[0, 1]) < 0.02, "white: no moment tells of the next"


def test_a_seed_is_a_noise():
    sound = np.ones(1000, np.float32)
    one, same, other = (noise.add_noise(sound, snr_db=5.0, seed=seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert not noise.add_noise(np.zeros(10, np.float32), snr_db=5.0, seed=1).any()
    assert len(noise.add_noise(np.zeros(0, np.float32), snr_db=5.0, seed=1)) == 0
    with pytest.raises(ValueError, match="snr_db: inf, expected a finite number"):
        noise.add_noise(sound, snr_db=float("inf"), seed=1)


def test_a_noisy_voice_is_measured_anew():
    sound = probe.decode_audio(SAMPLE)
    quiet, loud = (next(noise.noisy_voices(SAMPLE, snr_db=snr_db, seeds=[1])) for snr_db in (200.0, 0.0))
    clean = acoustic.from_waveform(sound.samples, start=sound.start)
    assert equal(quiet, clean), "noise below the last bit changes nothing"
    assert loud.values.shape == clean.values.shape
    harmonics = acoustic.SCHEMA.columns.index("HNRdBACF_sma3nz_mean")
    assert loud.values[:, harmonics].sum() < 0.5 * clean.values[:, harmonics].sum(), "noise hides the harmonics"


def test_a_clip_without_sound_has_no_voice_to_disturb(tmp_path):
    silent = make_clip(tmp_path / "silent.mp4", frames=every(1, grey(40)))
    (voice,) = noise.noisy_voices(silent, snr_db=0.0, seeds=[1])
    assert voice.absent == Message("no_audio_stream")


def test_a_process_of_its_own_gives_the_same_and_reports_progress(tmp_path):
    reports = []
    kept = [np.ones(4, bool), np.array([True, False, True, False])]
    apart = client.reread(WORDS, kept, hook=lambda *event: reports.append(event))
    assert all(equal(one, other) for one, other in zip(apart, word_features.reread(WORDS, kept), strict=True))
    assert reports == [("reread", 0, 2), ("reread", 1, 2), ("reread", 2, 2)]
    voices = client.noisy_voices(SAMPLE, snr_db=10.0, seeds=[1, 2])
    assert all(
        equal(one, other)
        for one, other in zip(voices, noise.noisy_voices(SAMPLE, snr_db=10.0, seeds=[1, 2]), strict=True)
    )
    assert not equal(*voices)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with pytest.raises(MediaError):
        client.noisy_voices(bad, snr_db=10.0, seeds=[1])


def test_progress_can_end_the_work():
    def stop(step, completed, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.noisy_voices(SAMPLE, snr_db=10.0, seeds=list(range(50)), hook=stop)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        client.noisy_voices(SAMPLE, snr_db=10.0, seeds=list(range(50)), cancel=cancel)
    assert len(client.noisy_voices(SAMPLE, snr_db=10.0, seeds=[1])) == 1, "and the next one works"
