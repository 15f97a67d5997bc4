"""Parts of a clip are described as if each were a clip of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from extractors.audio import acoustic, statistics
from extractors.schema import ClipFeatures
from extractors.storage import feature_files
from extractors.storage.parts import LEAST_SECONDS, ROWS, Parts
from extractors.vision import facial
from tests.paths import APP

FILLED, STATES = len(acoustic.FILLED_COLUMNS), 512
SPAN = (2.0, 5.0)
COUNTS = slice(20, 50)  # the steps of the span
RESTED = len(facial.RESTED_COLUMNS)


@pytest.fixture(scope="module")
def clip() -> ClipFeatures:
    """A sample of eight seconds."""
    return feature_files.load(APP / "samples" / "positive.safetensors")


def described(values: np.ndarray) -> np.ndarray:
    """What describes the whole voice, from one of its steps."""
    return values[FILLED:-STATES]


def test_all_of_a_clip_stays_as_it_is(clip):
    whole = Parts(clip).within([(0.0, clip.duration + 1)])
    for name in ("audio", "video"):
        np.testing.assert_array_equal(whole.modality(name).values, clip.modality(name).values)
    assert Parts(clip).without([]).audio is clip.audio


def test_a_voice_is_described_by_its_own_rows(clip):
    part = Parts(clip).between(*SPAN).audio
    rows = clip.voice_rows[COUNTS.start * ROWS : COUNTS.stop * ROWS].astype(np.float64)
    first = part.values[part.valid][0]
    np.testing.assert_array_equal(described(first), statistics.clip_statistics(rows))
    np.testing.assert_allclose(first[-STATES:], clip.voice_states[4:10].mean(axis=0), atol=1e-5)
    assert np.abs(described(first) - described(clip.audio.values[clip.audio.valid][0])).max() > 1
    pooled = acoustic.pooled(clip.voice_rows.astype(np.float64))[0][COUNTS]
    np.testing.assert_array_equal(part.values[part.valid, :FILLED], acoustic.filled_steps(pooled)[part.valid])


def test_a_face_is_described_by_its_own_steps(clip):
    part = Parts(clip).between(*SPAN).video
    plain = clip.video.values[COUNTS, : facial.SCHEMA.dim]
    np.testing.assert_array_equal(part.values[0, RESTED:], facial.clip_statistics(plain))
    np.testing.assert_array_equal(part.values[:, :RESTED], facial.above_rest(plain))


def test_what_is_marked_describes_nobody(clip):
    left, other = Parts(clip).without([SPAN]), Parts(clip).within([(0.0, 2.0), (5.0, 9.0)])
    for name in ("audio", "video"):
        ours = left.modality(name)
        assert len(ours.values) == len(clip.modality(name).values) and not ours.values[COUNTS].any()
        theirs = other.modality(name)
        np.testing.assert_array_equal(ours.values[ours.valid], theirs.values[theirs.valid])
    again = Parts(left).between(0.0, 3.0)
    np.testing.assert_array_equal(
        again.audio.values[again.audio.valid], Parts(clip).between(0.0, 2.0).audio.values[again.audio.valid[:20]]
    )


def test_a_moment_is_too_short_to_be_described(clip):
    start = SPAN[0]
    part = Parts(clip).between(start, start + LEAST_SECONDS - 0.1).audio
    np.testing.assert_array_equal(part.values, clip.between(start, start + LEAST_SECONDS - 0.1).audio.values)


def test_the_end_of_the_sound_has_the_last_state(clip):
    short = replace(clip, voice_states=clip.voice_states[:14])
    part = Parts(short).between(7.2, 8.0).audio
    np.testing.assert_allclose(part.values[part.valid][0, -STATES:], clip.voice_states[13], atol=1e-5)


def test_features_without_what_parts_are_made_from_are_only_cut(clip):
    bare = replace(clip, voice_rows=None, voice_states=None)
    np.testing.assert_array_equal(Parts(bare).between(*SPAN).audio.values, bare.between(*SPAN).audio.values)


def test_files_keep_what_parts_are_made_from(clip, tmp_path):
    feature_files.save(clip, tmp_path / "clip.safetensors")
    kept = feature_files.load(tmp_path / "clip.safetensors")
    np.testing.assert_array_equal(kept.voice_rows, clip.voice_rows)
    np.testing.assert_array_equal(kept.voice_states, clip.voice_states)
    assert len(clip.voice_states) == pytest.approx(2 * clip.duration, abs=1)


def test_rows_of_another_clip_are_refused(clip):
    with pytest.raises(ValueError, match="voice_rows: 100, expected 10 for each of 80 audio steps"):
        Parts(replace(clip, voice_rows=clip.voice_rows[:100]))
