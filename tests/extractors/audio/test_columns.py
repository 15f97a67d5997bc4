"""Audio columns of each feature set: filled steps, clip-level columns, zeros where nothing was observed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from extractors.audio import acoustic, statistics
from extractors.audio.columns import AudioColumns, ClipState
from extractors.media import probe
from extractors.media.probe import SAMPLE_RATE
from extractors.messages import Message
from tests.paths import SAMPLES

STATE = ClipState(
    extractor="a model",
    sha256="0" * 64,
    columns=("a", "b"),
    describe=lambda samples: (np.float32([1, 2]), np.float32([[1, 2]])),
)


@pytest.fixture(scope="module")
def voice():
    """Two seconds of speech after half a second of silence."""
    sound = probe.decode_audio(SAMPLES / "positive.webm")
    return np.concatenate([np.zeros(SAMPLE_RATE // 2, np.float32), sound.samples[: 2 * SAMPLE_RATE]])


def test_filled_steps_against_a_loop(voice):
    steps = acoustic.from_waveform(voice).values
    pitch = acoustic.SCHEMA.columns.index("F0semitoneFrom27.5Hz_sma3nz_mean")
    voiced = [row for row in steps if row[pitch] > 0]
    assert 0 < len(voiced) < len(steps)
    expected = []
    for row in steps:
        made = list(row)
        for place, name in enumerate(acoustic.SCHEMA.columns):
            if row[pitch] == 0 and "nz" in name:
                made[place] = np.mean([each[place] for each in voiced], dtype=np.float64)
        expected.append([*made, float(row[pitch] > 0)])
    found = acoustic.filled_steps(steps)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    changed = [name for name in acoustic.FILLED_COLUMNS if name.endswith("_filled")]
    assert len(changed) == 30 and len(set(acoustic.FILLED_COLUMNS)) == 51


def test_a_clip_without_voice_is_filled_with_zeros():
    steps = np.ones((3, 50), np.float32)
    steps[:, ["nz" in name for name in acoustic.SCHEMA.columns]] = 0
    assert np.array_equal(acoustic.filled_steps(steps)[:, :50], steps)
    assert not acoustic.filled_steps(steps)[:, 50].any()


def test_plain_columns_are_what_opensmile_gives(voice):
    columns = AudioColumns()
    assert columns.schema == acoustic.SCHEMA
    found, expected = columns.read(voice, start=0.5), acoustic.read(voice, start=0.5)
    assert np.array_equal(found.features.values, expected.features.values)
    assert np.array_equal(found.features.start, expected.features.start)


@pytest.mark.parametrize("state", [None, STATE])
def test_statistics_are_the_same_in_every_valid_step(voice, state):
    columns = AudioColumns(statistics=True, state=state)
    steps = columns.read(voice, start=0.5).features
    plain = acoustic.read(voice, start=0.5)
    assert steps.values.shape == (len(plain.features.values), columns.schema.dim)
    assert columns.schema.dim == 51 + 260 + (2 if state else 0)
    assert len(set(columns.schema.columns)) == columns.schema.dim
    assert np.array_equal(steps.values[:, :51], acoustic.filled_steps(plain.features.values))
    clip = statistics.clip_statistics(acoustic.descriptor_rows(voice))
    clip = np.concatenate([clip, [1, 2]]) if state else clip
    assert (steps.values[:, 51:] == clip.astype(np.float32)).all()
    assert columns.schema.sha256 == (state.sha256 if state else None)


def test_invalid_steps_stay_zeros(voice, monkeypatch):
    """openSMILE's rows are finite in practice, so some are made NaN."""
    rows = acoustic.descriptor_rows(voice)
    rows[100:130] = np.nan
    monkeypatch.setattr(acoustic, "_rows", lambda samples, chosen: rows)
    steps = AudioColumns(statistics=True).read(voice).features
    assert not steps.valid[10:13].any() and steps.valid[9] and steps.valid[13]
    assert not steps.values[10:13].any() and steps.values[9, 51:].any()


@pytest.mark.parametrize(
    ("samples", "code"),
    [(np.zeros(SAMPLE_RATE, np.float32), "audio_silent"), (np.ones(100, np.float32), "audio_too_short")],
)
def test_an_absent_voice_has_the_columns_too(samples, code):
    columns = AudioColumns(statistics=True, state=STATE)
    steps = columns.read(samples).features
    assert steps.absent == Message(code) and steps.values.shape == (0, 313)
    assert columns.missing(Message("no_audio_stream")).values.shape == (0, 313)


def test_what_has_no_statistics_is_refused():
    with pytest.raises(ValueError, match="descriptors: 'ComParE_2016', expected 'eGeMAPSv02' for clip statistics"):
        AudioColumns(descriptors="ComParE_2016", statistics=True)
    with pytest.raises(ValueError, match="state: 'a model' without statistics"):
        dataclasses.replace(AudioColumns(), state=STATE)
