"""Every change to a waveform keeps it a waveform, and its seed decides it."""

import numpy as np
import pytest

from training.data.corpora import augment
from training.data.corpora.augment import SAMPLE_RATE


@pytest.fixture(scope="module")
def voice():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    harmonics = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 40))
    return (0.1 * harmonics * (1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


@pytest.mark.parametrize("name", augment._CHANGES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_change_keeps_a_waveform(name, seed, voice, monkeypatch):
    monkeypatch.setattr(augment, "CHANCE", {**dict.fromkeys(augment.CHANCE, 0.0), name: 1.0})
    made = augment.augmented(voice, [voice[::-1].copy()], seed=seed)
    assert made.dtype == np.float32 and made.ndim == 1
    assert np.isfinite(made).all() and np.abs(made).max() <= 1 and made.std() > 0
    assert 0.9 < len(made) / len(voice) < 1.1
    np.testing.assert_array_equal(made, augment.augmented(voice, [voice[::-1].copy()], seed=seed))
    length = min(len(made), len(voice))
    assert not np.array_equal(made[:length], voice[:length])


def test_no_chance_no_change(voice, monkeypatch):
    monkeypatch.setattr(augment, "CHANCE", dict.fromkeys(augment.CHANCE, 0.0))
    np.testing.assert_allclose(augment.augmented(voice, [], seed=0), voice.clip(-1, 1))


def test_seeds_differ(voice):
    drawn = [augment.augmented(voice, [], seed=seed) for seed in range(6)]
    assert len({made.tobytes() for made in drawn}) > 3


@pytest.mark.parametrize("codec", augment.CODECS, ids=lambda codec: codec[0])
def test_codecs_keep_the_length_and_the_sound(codec, voice):
    made = augment.coded(voice, *codec)
    assert made.dtype == np.float32 and np.isfinite(made).all()
    assert abs(len(made) - len(voice)) < 0.2 * SAMPLE_RATE
    assert made.std() == pytest.approx(voice.std(), rel=0.3)


def test_narrow_sound_has_nothing_above_4_khz(voice):
    made = augment.narrowed(voice)
    assert len(made) == len(voice) and made.dtype == np.float32
    spectrum, before = (np.abs(np.fft.rfft(each)) ** 2 for each in (made, voice))
    high = np.fft.rfftfreq(len(voice), 1 / SAMPLE_RATE) > 4300
    assert spectrum[high].sum() < 0.02 * before[high].sum()
    assert spectrum[~high].sum() > 0.9 * before[~high].sum()
