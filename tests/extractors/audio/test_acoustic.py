from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.audio.acoustic import (
    AUDIO_RATE,
    COMPARE,
    DESCRIPTOR_SETS,
    DESCRIPTORS,
    MIN_SECONDS,
    SAMPLE_RATE,
    SCHEMA,
    from_waveform,
    hertz,
    load,
    read,
)
from extractors.messages import Message
from tests.extractors.support.clips import tone

COLUMN = {name: index for index, name in enumerate(SCHEMA.columns)}
PITCH = COLUMN["F0semitoneFrom27.5Hz_sma3nz_mean"]


def semitones(hertz):
    return 12 * np.log2(hertz / 27.5)


def test_columns_are_opensmiles_own():
    assert tuple(load().column_names) == DESCRIPTORS
    assert SCHEMA.columns[0] == "Loudness_sma3_mean" and SCHEMA.columns[25] == "Loudness_sma3_std"


def test_steps_cover_the_sound():
    features = from_waveform(tone(2.05)[0], start=1.5)
    assert features.values.shape == (21, SCHEMA.dim)
    assert np.allclose(features.start, 1.5 + np.arange(21) / AUDIO_RATE)
    assert np.allclose(features.end[:-1], features.start[1:])
    assert features.end[-1] == pytest.approx(3.55)
    assert features.valid.all() and features.absent is None


@settings(max_examples=40, deadline=None)
@given(count=st.integers(960, 50_000), start=st.floats(0, 1000), name=st.sampled_from(sorted(DESCRIPTOR_SETS)))
def test_steps_rise_and_cover_the_sound(count, start, name):
    """All of it but what is shorter than openSMILE's longest window."""
    noise = np.random.default_rng(count).normal(0, 0.1, count).astype(np.float32)
    result = read(noise, start=start, descriptors=name)
    features, end = result.features, start + count / SAMPLE_RATE
    assert features.valid.all() and features.absent is None
    assert features.start[0] == start and (np.diff(features.start) > 0).all()
    assert np.allclose(features.end[:-1], features.start[1:])
    assert end - MIN_SECONDS <= features.end[-1] <= end + 1e-9 and features.end[-1] > features.start[-1]
    for curve in result.tracks:
        assert curve.seconds[0] == start and (np.diff(curve.seconds) > 0).all() and curve.seconds[-1] < end
        # The rows of a step begin within it.
        assert len(features.start) == -(-len(curve.seconds) // 10)


def test_pooling_is_mean_and_deviation_of_opensmiles_rows():
    samples = tone(1)[0] * np.linspace(0.1, 1, SAMPLE_RATE, dtype=np.float32)
    rows = load().process_signal(samples, SAMPLE_RATE)["Loudness_sma3"].to_numpy()
    values = from_waveform(samples).values
    for step in range(9):
        part = rows[10 * step : 10 * step + 10]
        assert values[step, COLUMN["Loudness_sma3_mean"]] == pytest.approx(part.mean(), rel=1e-5)
        assert values[step, COLUMN["Loudness_sma3_std"]] == pytest.approx(part.std(), rel=1e-3)


def test_pitch_is_pooled_over_voiced_rows_only():
    pause = np.random.default_rng(0).normal(0, 0.002, SAMPLE_RATE // 2).astype(np.float32)
    voice = tone(0.95)[0]  # the last step of voice is half voiced
    pitch = from_waveform(np.concatenate([voice, pause, voice])).values[:, PITCH]
    voiced = pitch[pitch > 0]
    assert len(voiced) >= 14
    assert np.allclose(voiced, semitones(220), atol=1)  # no mean with the zeros of unvoiced rows
    assert (pitch[10:14] == 0).all()


def test_pitch_follows_the_voice():
    low, high = (from_waveform(tone(1, hertz=hertz)[0]).values[4, PITCH] for hertz in (110.0, 220.0))
    assert low == pytest.approx(semitones(110), abs=0.5)
    assert high == pytest.approx(semitones(220), abs=0.5)


def test_other_rates_are_resampled():
    values = from_waveform(tone(1, rate=44_100)[0], 44_100).values
    assert len(values) == 10
    assert values[4, PITCH] == pytest.approx(semitones(220), abs=0.5)


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (np.zeros(0, np.float32), "audio_too_short"),
        (tone(0.05)[0], "audio_too_short"),
        (np.zeros(SAMPLE_RATE, np.float32), "audio_silent"),
        (np.full(SAMPLE_RATE, 9e-4, np.float32), "audio_silent"),
    ],
)
def test_absent(samples, code):
    features = from_waveform(samples)
    assert features.absent == Message(code)
    assert features.values.shape == (0, SCHEMA.dim)


@pytest.mark.parametrize("count", [960, 961, 1200, 1600, 1601, 3200])
def test_short_sounds_have_finite_values(count):
    features = from_waveform(tone(1)[0, :count])
    assert features.absent is None
    assert np.isfinite(features.values).all()


def test_a_constant_is_analysed_without_nan():
    assert from_waveform(np.full(SAMPLE_RATE, 0.5, np.float32)).values.shape == (10, SCHEMA.dim)


def test_bad_samples_are_named():
    with pytest.raises(ValueError, match="NaN or inf"):
        from_waveform(np.full(SAMPLE_RATE, np.nan, np.float32))
    with pytest.raises(ValueError, match="rate: 0"):
        from_waveform(tone(1)[0], 0)


def test_threads_give_the_same():
    samples = tone(1)[0]
    expected = from_waveform(samples).values
    with ThreadPoolExecutor(4) as pool:
        for features in pool.map(from_waveform, [samples] * 8):
            assert np.array_equal(features.values, expected)


def curve(tracks, name):
    return next(track for track in tracks if track.name == name)


def test_compare_has_its_own_schema():
    samples = tone(2.05)[0]
    assert tuple(load("ComParE_2016").column_names) == COMPARE.descriptors and len(COMPARE.descriptors) == 65
    assert COMPARE.schema != SCHEMA and COMPARE.schema.dim == 130
    result = read(samples, descriptors="ComParE_2016")
    assert result.features.values.shape[1] == 130 and result.features.valid.all()
    pitch = result.features.values[5, COMPARE.schema.columns.index("F0final_sma_mean")]
    assert pitch == pytest.approx(220, rel=0.02)
    with pytest.raises(ValueError, match="descriptors: 'GeMAPS', expected one of"):
        read(samples, descriptors="GeMAPS")


def test_compares_repeated_time_stamp_counts_once():
    samples = tone(1)[0]
    raw = load("ComParE_2016").process_signal(samples, SAMPLE_RATE)
    stamps = raw.index.get_level_values("start")
    assert stamps.duplicated().sum() == 1  # else the repair is needed no more
    assert len(read(samples, descriptors="ComParE_2016").tracks[0].values) == len(stamps) - 1


@pytest.mark.parametrize("descriptors", ["eGeMAPSv02", "ComParE_2016"])
def test_tracks_tell_pitch_in_hertz_and_loudness(descriptors):
    pause = np.random.default_rng(0).normal(0, 0.002, SAMPLE_RATE).astype(np.float32)
    tracks = read(np.concatenate([tone(1)[0], pause]), start=2.0, descriptors=descriptors).tracks
    loudness, pitch, voiced = (curve(tracks, name) for name in ("loudness", "F0", "voiced"))
    assert pitch.unit == "Hz" and np.allclose(np.diff(pitch.seconds), 0.01) and pitch.seconds[0] == 2.0
    assert np.allclose(pitch.values[20:80], 220, rtol=0.02)
    assert np.isnan(pitch.values[120:]).all() and (voiced.values[120:] == 0).all()
    assert np.array_equal(voiced.values == 1, np.isfinite(pitch.values))
    assert loudness.values[20:80].min() > 3 * loudness.values[120:180].max()


def test_semitones_become_hertz():
    found = hertz(np.array([0.0, 12.0, 36.0]))
    assert np.isnan(found[0]) and found[1:] == pytest.approx([55.0, 220.0])


def test_silence_has_no_tracks():
    assert read(np.zeros(SAMPLE_RATE, np.float32)).tracks == ()
