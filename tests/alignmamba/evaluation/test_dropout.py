"""What missing modalities change: against plain references, and clips that lack a modality."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from alignmamba.evaluation.dropout import ScoredClip, bootstrap_mean, changes, groups
from alignmamba.evaluation.metrics import sentiment_metrics
from alignmamba.modality import MODALITIES, SUBSETS, Modality, letters

ALL = frozenset(MODALITIES)
WITHOUT_FACE = ALL - {Modality.VIDEO}


def clips(count: int, *, whole: frozenset[Modality] = ALL, labelled: bool = True) -> list[ScoredClip]:
    draw = np.random.default_rng(3)
    parts = [part for part in SUBSETS if part <= whole]
    return [
        ScoredClip(
            scores={part: float(draw.uniform(-3, 3)) for part in parts},
            truth=float(draw.uniform(-3, 3)) if labelled else None,
        )
        for _clip in range(count)
    ]


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(5).normal(0.4, 1.0, size=40)
    found = bootstrap_mean(values)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(reference.low, abs=0.02)
    assert found.high == pytest.approx(reference.high, abs=0.02)
    assert bootstrap_mean(values) == found, "the same seed, the same interval"
    assert bootstrap_mean(values, seed=2) != found


def test_the_interval_holds_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(7)
    held = 0
    for _round in range(300):
        found = bootstrap_mean(draw.normal(1.0, 2.0, size=40), resamples=1000)
        held += found.low <= 1.0 <= found.high
    assert 0.89 <= held / 300 <= 0.98


def test_one_clip_has_no_interval():
    found = bootstrap_mean(np.array([1.5]))
    assert (found.mean, found.low, found.high, found.count) == (1.5, None, None, 1)
    with pytest.raises(ValueError, match="none"):
        bootstrap_mean(np.array([]))


def test_changes_are_those_of_plain_measures():
    several = clips(30)
    truth = np.array([clip.truth for clip in several])
    full = np.array([clip.scores[ALL] for clip in several])
    before = sentiment_metrics(full, truth)
    found = changes(several, ALL)
    assert [letters(change.missing) for change in found] == ["l", "v", "a", "vl", "al", "av"]
    for change in found:
        part = np.array([clip.scores[change.kept] for clip in several])
        after = sentiment_metrics(part, truth)
        assert change.missing | change.kept == ALL
        assert change.means["score"].mean == pytest.approx(np.mean(part) - np.mean(full))
        assert change.means["distance"].mean == pytest.approx(np.mean(np.abs(part - full)))
        assert change.means["accuracy"].mean == pytest.approx(before["acc2_non0"] - after["acc2_non0"])
        assert change.means["error"].mean == pytest.approx(after["mae"] - before["mae"])


def test_clips_without_a_label_count_for_the_score_alone():
    mixed = [*clips(3), *clips(2, labelled=False), ScoredClip(scores=clips(1)[0].scores, truth=0.0)]
    means = changes(mixed, ALL)[0].means
    assert {measure: each.count for measure, each in means.items()} == {
        "score": 6,
        "distance": 6,
        "accuracy": 3,
        "error": 4,
    }
    assert changes(clips(2, labelled=False), ALL)[0].means.keys() == {"score", "distance"}


def test_clips_that_lack_a_modality_are_compared_among_themselves():
    alone, nothing = clips(1, whole=frozenset({Modality.AUDIO})), [ScoredClip(scores={})]
    found = groups([*clips(2), *clips(3, whole=WITHOUT_FACE), *alone, *nothing])
    assert {letters(whole): len(each) for whole, each in found.items()} == {"avl": 2, "al": 3}
    (first, second) = changes(found[WITHOUT_FACE], WITHOUT_FACE)
    assert (letters(first.missing), letters(second.missing)) == ("l", "a")
    with pytest.raises(ValueError, match="no other modality"):
        changes(clips(2), WITHOUT_FACE)
    with pytest.raises(ValueError, match="at least one"):
        changes([], ALL)
