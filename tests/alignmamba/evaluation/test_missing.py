"""Missing modalities against plain references: sums written out, counts of many draws, digests of frozen masks."""

from __future__ import annotations

import hashlib
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alignmamba.batch import ModalitySteps
from alignmamba.evaluation.missing import (
    draw_masks,
    draw_steps,
    draw_subset,
    expected,
    keep_modalities,
    keep_steps,
    lost_share,
    max_rate,
    reached_rate,
    replace_modality,
    subset_chances,
)
from alignmamba.modality import MODALITIES, SUBSETS, Modality
from training.data import masking
from training.data.datasets import Example

RATES = (0.0, 0.1, 0.3, 0.5, 0.6, 2 / 3)


def clip(steps=(5, 4, 3), *, without=(), invalid=()):
    """Features whose values are all above zero; `invalid` are (modality, step) pairs."""
    rng = np.random.default_rng(0)
    parts = {}
    for modality, count in zip(MODALITIES, steps, strict=True):
        count = 0 if modality in without else count
        valid = np.ones(count, bool)
        for step in [step for name, step in invalid if name == modality]:
            valid[step] = False
        values = (rng.uniform(1, 2, (count, 2)) * valid[:, None]).astype(np.float32)
        seconds = np.arange(count) / 10
        parts[modality] = SimpleNamespace(
            values=values, start=seconds, end=seconds + 0.1, valid=valid, absent="gone" if modality in without else None
        )
    return SimpleNamespace(schema="schema", modality=parts.__getitem__)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("modalities", [MODALITIES, MODALITIES[1:]])
def test_chances_are_those_of_every_way_to_draw(rate, modalities):
    """The procedure written out: which one is kept, and which others are lucky."""
    rate = min(rate, max_rate(modalities))
    lucky = (len(modalities) * (1 - rate) - 1) / (len(modalities) - 1)
    found = dict.fromkeys(subset_chances(rate, modalities=modalities), 0.0)
    for kept, luck in product(modalities, product((True, False), repeat=len(modalities) - 1)):
        others = [each for each in modalities if each != kept]
        subset = frozenset({kept, *(each for each, there in zip(others, luck, strict=True) if there)})
        found[subset] += np.prod([lucky if there else 1 - lucky for there in luck]) / len(modalities)
    assert subset_chances(rate, modalities=modalities) == pytest.approx(found, abs=1e-12)
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("rate", RATES)
def test_the_rate_is_the_share_that_is_missing(rate):
    chances = subset_chances(rate)
    assert set(chances) == set(SUBSETS)
    assert sum(share * (1 - len(subset) / 3) for subset, share in chances.items()) == pytest.approx(rate)


@pytest.mark.parametrize("rate", RATES)
def test_a_draw_for_one_clip_is_that_of_the_test_sets(rate):
    for seed in range(50):
        (mask,) = draw_masks(1, rate, seed)
        assert draw_subset(rate, seed) == frozenset(np.array(MODALITIES)[mask])
        if rate <= 0.5:
            (mask,) = draw_masks(1, rate, seed, modalities=MODALITIES[1:])
            assert draw_subset(rate, seed, modalities=MODALITIES[1:]) == frozenset(np.array(MODALITIES)[mask])


def _digest(masks):
    return hashlib.sha256(np.packbits(masks).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("rate", "chance"), [(0.0, 1.0), (0.1, 0.85), (0.2, 0.7), (0.3, 0.55), (0.5, 0.25), (0.6, 0.1), (0.7, 0.0)]
)
def test_masks_reach_the_rate_and_keep_one_evenly(rate, chance):
    count = 30_000
    masks = draw_masks(count, rate, 1111)
    assert masks.shape == (count, 3)
    assert masks.any(1).all()
    expected = min(rate, 2 / 3)
    spread = np.sqrt(2 * chance * (1 - chance) / 9 / count)  # of the mean over samples of two free modalities
    assert abs(reached_rate(masks) - expected) <= 4.5 * spread + 1e-12
    each = 1 / 3 + 2 / 3 * chance  # a modality is the kept one, or lucky
    assert np.abs(masks.mean(0) - each).max() <= 4.5 * np.sqrt(each * (1 - each) / count) + 1e-12
    alone = (masks.sum(1) == 1).mean()
    assert abs(alone - (1 - chance) ** 2) <= 4.5 * np.sqrt(0.25 / count)


def test_the_maximum_is_exact_and_has_the_name_of_papers():
    assert reached_rate(draw_masks(500, 0.7, 3)) == pytest.approx(2 / 3, abs=1e-12)
    assert (draw_masks(50, 2 / 3, 3) == draw_masks(50, 0.7, 3)).all()


def test_masks_are_frozen_by_the_seed():
    """Digests of what was drawn when the committed results were measured."""
    for rate, digest in (
        (0.1, "ca9dd1f5cdca6b4a"),
        (0.4, "c59bea67c3d6bf7d"),
        (0.6, "c2ef350fc2d7d076"),
        (0.7, "e0500d9210e5ef71"),
    ):
        assert _digest(draw_masks(400, rate, 1111)) == digest
    assert _digest(draw_masks(400, 0.3, 1111, modalities=MODALITIES[1:])) == "6857bec328d59e55"
    one, same, other = (draw_masks(200, 0.4, seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize("rate", [-0.1, 0.68, 0.71, 1.0, float("nan")])
def test_masks_of_a_rate_that_cannot_be_reached_are_refused(rate):
    with pytest.raises(ValueError, match=r"rate: .* expected 0 to 0.667: a sample keeps one modality of 3"):
        draw_masks(10, rate, 1)


def test_two_modalities_have_a_maximum_of_their_own():
    pair = MODALITIES[:2]
    masks = draw_masks(20_000, 0.3, 1, modalities=pair)
    assert not masks[:, 2].any()
    assert reached_rate(masks, modalities=pair) == pytest.approx(0.3, abs=0.01)
    with pytest.raises(ValueError, match=r"expected 0 to 0.500: a sample keeps one modality of 2"):
        draw_masks(10, 0.6, 1, modalities=pair)


def test_expected_is_the_mean_of_many_draws():
    values = {subset: float(place) for place, subset in enumerate(SUBSETS)}
    masks = draw_masks(40_000, 0.4, 1)
    drawn = np.array([values[frozenset(np.array(MODALITIES)[mask])] for mask in masks])
    exact = expected(0.4, values)
    assert exact.mean == pytest.approx(drawn.mean(), abs=4.5 * drawn.std() / 200)
    assert exact.std == pytest.approx(drawn.std(), rel=0.02)
    assert expected(0.0, {SUBSETS[0]: 2.5}) == (2.5, 0.0), "subsets that are never drawn need no value"
    with pytest.raises(ValueError, match="values: none for"):
        expected(0.1, {SUBSETS[0]: 2.5})


@pytest.mark.parametrize("rate", [-0.1, 0.67, float("nan")])
def test_a_rate_that_cannot_be_reached_is_refused(rate):
    for ask in (subset_chances, lambda rate: draw_subset(rate, 1)):
        with pytest.raises(ValueError, match=r"rate: .*, expected 0 to 0.667: a sample keeps one modality of 3"):
            ask(rate)
    assert subset_chances(0.0, modalities=MODALITIES[:1]) == {frozenset(MODALITIES[:1]): 1.0}


@pytest.mark.parametrize("without", [(), (Modality.VIDEO,)])
@pytest.mark.parametrize("rate", [0.0, 0.4, 0.99])
def test_lost_steps_are_those_of_the_test_sets(rate, without):
    features = clip(without=without, invalid=[(Modality.AUDIO, 1)])
    plain = {
        modality: ModalitySteps(*map(torch.from_numpy, (part.values, part.valid, part.start)))
        for modality in MODALITIES
        if (part := features.modality(modality)).absent is None
    }
    for seed in range(20):
        drawn = masking.within([Example(id="", clip=plain, score=np.zeros(1))], rate=rate, seed=seed)
        part = keep_steps(features, draw_steps(features, rate=rate, seed=seed, within=MODALITIES))
        for modality, steps in drawn.examples[0].clip.items():
            np.testing.assert_array_equal(part.modality(modality).valid, steps.mask.numpy())
            np.testing.assert_array_equal(part.modality(modality).values, steps.values.numpy())
        assert lost_share(features, part, within=MODALITIES) == pytest.approx(drawn.reached_rate)


def test_only_what_is_asked_for_loses_steps():
    features = clip()
    for seed in range(20):
        part = keep_steps(features, draw_steps(features, rate=1.0, seed=seed, within=[Modality.VIDEO]))
        assert part.modality("audio") is features.modality("audio")
        assert part.modality("video").absent == "all of it was dropped"
        assert not part.modality("video").values.any()
        assert part.schema == "schema"
    assert lost_share(features, part, within=[Modality.VIDEO]) == 1
    assert lost_share(features, part, within=[]) == 0


def test_something_is_always_left():
    features = clip(without=(Modality.AUDIO, Modality.LANGUAGE), invalid=[(Modality.VIDEO, 0)])
    for seed in range(20):
        kept = draw_steps(features, rate=1.0, seed=seed, within=MODALITIES)
        assert set(kept) == {Modality.VIDEO}
        part = keep_steps(features, kept)
        assert part.modality("video").valid.sum() == 1
        assert part.modality("video").absent is None
        assert part.modality("audio").absent == "gone"


def test_modalities_can_be_taken_away_or_exchanged():
    features = clip()
    part = keep_modalities(features, {Modality.AUDIO})
    assert part.modality("audio") is features.modality("audio")
    assert [part.modality(name).absent is None for name in MODALITIES] == [True, False, False]
    other = clip(steps=(9, 9, 9)).modality("video")
    assert replace_modality(features, Modality.VIDEO, other).modality("video") is other
    assert replace_modality(features, Modality.VIDEO, other).modality("audio") is features.modality("audio")


def test_bad_requests_name_what_was_expected():
    features = clip()
    with pytest.raises(ValueError, match=r"rate: 1.1, expected a share"):
        draw_steps(features, rate=1.1, seed=1, within=MODALITIES)
    with pytest.raises(ValueError, match="no modality is there"):
        draw_steps(clip(without=MODALITIES), rate=0.5, seed=1, within=MODALITIES)
    with pytest.raises(ValueError, match="kept: 1 entries for video, expected one per step = 4"):
        keep_steps(features, {Modality.VIDEO: np.ones(1, bool)})
