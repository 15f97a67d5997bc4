"""Clip-level columns of the face: its own rest, and statistics of the whole clip."""

from __future__ import annotations

import numpy as np
import pytest

from extractors.messages import Message
from extractors.schema import ModalityFeatures
from extractors.vision import facial

STEPS = np.random.default_rng(0).normal(0, 1, (11, 55)).astype(np.float32)


def quantile(values, share):
    """Linear interpolation between the two nearest values."""
    ordered = sorted(map(float, values))
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def test_columns_above_rest_and_statistics_against_a_loop():
    rested, clip = facial.above_rest(STEPS), facial.clip_statistics(STEPS)
    assert rested.shape == (11, 110) and clip.shape == (220,)
    for place, name in enumerate(facial.SCHEMA.columns):
        column = STEPS[:, place].astype(float)
        low, high = quantile(column, 0.2), quantile(column, 0.8)
        found = dict(zip(facial.CLIP_COLUMNS, clip, strict=True))
        for kind, value in (("mean", column.mean()), ("std", column.std()), ("q20_to_q80", high - low), ("q80", high)):
            assert found[f"{name}_clip_{kind}"] == pytest.approx(value, rel=1e-5, abs=1e-6)
        above = facial.RESTED_COLUMNS.index(f"{name}_above_rest")
        np.testing.assert_allclose(rested[:, above], column - low, rtol=1e-5, atol=1e-6)
    assert np.array_equal(rested[:, :55], STEPS)


def test_invalid_steps_do_not_count_and_stay_zeros():
    valid = np.arange(11) % 3 > 0
    values = np.where(valid[:, None], STEPS, 0)
    start = np.arange(11) / 10
    plain = ModalityFeatures(values=values, start=start, end=start + 0.1, valid=valid)
    made = facial.with_statistics(plain)
    assert made.values.shape == (11, 330) == (11, facial.CLIP_SCHEMA.dim)
    assert len(set(facial.CLIP_SCHEMA.columns)) == 330
    assert not made.values[~valid].any()
    assert np.array_equal(made.values[valid, :110], facial.above_rest(STEPS[valid]))
    assert (made.values[valid, 110:] == facial.clip_statistics(STEPS[valid])).all()


def test_no_face_has_the_columns_too():
    made = facial.with_statistics(ModalityFeatures.missing(Message("no_face"), 55))
    assert made.values.shape == (0, 330) and made.absent == Message("no_face")
    assert facial.above_rest(STEPS[:0]).shape == (0, 110) and not facial.clip_statistics(STEPS[:0]).any()
