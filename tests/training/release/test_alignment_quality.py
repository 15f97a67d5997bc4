"""Figures of the maps: by hand, by chance and on clips made for it."""

import numpy as np
import pytest
import torch

from alignmamba.modality import Modality
from tests.training.clips import features, steps, trained
from training.release import alignment_quality

NAMES = ["trained", "trained, content alone", "untrained", "untrained, content alone", "nearest in time", "chance"]


def test_near_is_counted_from_the_words_edges():
    rng = np.random.default_rng(0)
    close = alignment_quality.near(steps("audio", 30, rng), steps("language", 3, rng, seconds=1.0))
    assert close.shape == (30, 3)
    assert close[:15, 0].all() and not close[15:, 0].any()  # middles at .05 ... 1.45 lie within .5 of [0, 1]
    assert close[5:25, 1].all() and close[:, 1].sum() == 20
    without = alignment_quality.near(steps("audio", 30, rng, invalid=(0, 1)), steps("language", 3, rng, seconds=1.0))
    np.testing.assert_array_equal(without, close[2:])


def test_figures_by_hand():
    close = np.array([[True, False], [True, False], [False, True], [False, False]])
    by_time = np.array([0, 0, 1, 0])
    one = alignment_quality.figures(np.zeros(4, int), close, by_time)
    assert one == {"distinct_words": 1, "entropy_bits": 0, "near_share": 0.5, "nearest_share": 0.75}
    half = alignment_quality.figures(np.array([0, 0, 1, 1]), close, by_time)
    assert half == {"distinct_words": 2, "entropy_bits": 1, "near_share": 0.75, "nearest_share": 0.75}


def test_chance_is_what_uniform_choices_give():
    rng = np.random.default_rng(0)
    close = rng.random((12, 5)) < 0.4
    by_time = rng.integers(5, size=12)
    drawn = [alignment_quality.figures(rng.integers(5, size=12), close, by_time) for _ in range(4000)]
    expected = alignment_quality.chance(close)
    for name in ("distinct_words", "near_share", "nearest_share"):
        assert np.mean([each[name] for each in drawn]) == pytest.approx(expected[name], abs=0.02)
    assert max(each["entropy_bits"] for each in drawn) <= expected["entropy_bits"] + 1e-9


def test_a_strong_time_term_chooses_the_nearest_word():
    clip = features(invalid=(3, 4))
    chosen = alignment_quality.choices(trained(time_weight=1000.0), clip)
    for source in alignment_quality.SOURCES:
        assert len(chosen[source]) == 28
        np.testing.assert_array_equal(chosen[source], alignment_quality.nearest(clip.modality(source), clip.language))


def test_variants_differ_in_what_their_names_say():
    whole = trained(time_weight=0.5)
    whole.model.encoders["audio"].mean.fill_(2.0)
    made = alignment_quality.variants(whole)
    (content,) = made["trained, content alone"]
    assert content.model.config.time_weight == 0 and whole.model.config.time_weight == 0.5
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, content.model.state_dict()[name])
    first, second, *_ = made["untrained"]
    assert not torch.equal(first.model.heads.score.weight, second.model.heads.score.weight)
    for each in (first, second):
        assert (each.model.encoders["audio"].mean == 2.0).all()


def test_rows_stand_for_every_modality_and_variant():
    rng = np.random.default_rng(1)
    named = [
        ("a", features(rng=rng)),
        ("b", features(rng=rng, audio=0, words=5)),
        ("one word", features(rng=rng, words=1)),
        ("silent", features(rng=rng, words=0)),
        ("words alone", features(rng=rng, audio=0, video=0)),
    ]
    rows = alignment_quality.measure(trained(time_weight=0.5), named)
    assert [(row["modality"], row["variant"]) for row in rows] == [(s, n) for s in ("audio", "video") for n in NAMES]
    for row in rows:
        clips = [each["clip"] for each in row["per_clip"]]
        assert clips == (["a"] if row["modality"] == "audio" else ["a", "b"]) and row["clips"] == len(clips)
        assert row["steps"] == sum(each["steps"] for each in row["per_clip"])
        assert 0 <= row["near_share"] <= 1 and 0 < row["distinct_share"] <= 1 and 0 <= row["entropy_share"] <= 1
    best = {row["modality"]: row["near_share"] for row in rows if row["variant"] == "nearest in time"}
    assert best["audio"] == 1.0
    assert all(row["nearest_share"] == 1.0 for row in rows if row["variant"] == "nearest in time")
    assert {row["modality"] for row in rows} == set(map(str, (Modality.AUDIO, Modality.VIDEO)))
