"""Protocols of missing modalities: rates, guarantees, and what stays of an example."""

import numpy as np
import pytest
import torch

from alignmamba.batch import collate
from alignmamba.modality import MODALITIES, SUBSETS, Modality
from training.data import masking
from training.data.datasets import Example, as_steps

DIMS = dict(zip(MODALITIES, (3, 4, 5), strict=True))


def example(name, *, labels, steps, rng, without=()):
    """Random steps without any zero; `steps` per modality."""
    clip = {
        modality: as_steps(rng.uniform(1, 2, (steps, dim))) for modality, dim in DIMS.items() if modality not in without
    }
    return Example(id=name, clip=clip, score=rng.uniform(-3, 3, labels).astype(np.float32))


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    return [example(f"clip {number}", labels=1, steps=5, rng=rng) for number in range(400)]


@pytest.fixture
def dialogues():
    rng = np.random.default_rng(0)
    return [example(f"video {number}", labels=2 + number, steps=2 + number, rng=rng) for number in range(40)]


@pytest.mark.parametrize(
    ("rate", "chance"), [(0.0, 1.0), (0.1, 0.85), (0.2, 0.7), (0.3, 0.55), (0.5, 0.25), (0.6, 0.1), (0.7, 0.0)]
)
def test_masks_reach_the_rate_and_keep_one_evenly(rate, chance):
    count = 30_000
    masks = masking.random_masks(count, rate, 1111)
    assert masks.shape == (count, 3)
    assert masks.any(1).all()
    expected = min(rate, 2 / 3)
    spread = np.sqrt(2 * chance * (1 - chance) / 9 / count)  # of the mean over samples of two free modalities
    assert abs(masking.reached_rate(masks) - expected) <= 4.5 * spread + 1e-12
    each = 1 / 3 + 2 / 3 * chance  # a modality is the kept one, or lucky
    assert np.abs(masks.mean(0) - each).max() <= 4.5 * np.sqrt(each * (1 - each) / count) + 1e-12
    alone = (masks.sum(1) == 1).mean()
    assert abs(alone - (1 - chance) ** 2) <= 4.5 * np.sqrt(0.25 / count)


def test_the_maximum_is_exact_and_has_the_name_of_papers():
    assert masking.reached_rate(masking.random_masks(500, 0.7, 3)) == pytest.approx(2 / 3, abs=1e-12)
    assert (masking.random_masks(50, 2 / 3, 3) == masking.random_masks(50, 0.7, 3)).all()


def test_masks_are_frozen_by_the_seed():
    one, same, other = (masking.random_masks(200, 0.4, seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize("rate", [-0.1, 0.68, 0.71, 1.0, float("nan")])
def test_a_rate_that_cannot_be_reached_is_refused(rate):
    with pytest.raises(ValueError, match=r"rate: .* expected 0 to 0.667 .* keeps one modality of 3"):
        masking.random_masks(10, rate, 1)


def test_two_modalities_have_a_maximum_of_their_own():
    senses = MODALITIES[:2]
    masks = masking.random_masks(20_000, 0.3, 1, modalities=senses)
    assert not masks[:, 2].any()
    assert masking.reached_rate(masks, modalities=senses) == pytest.approx(0.3, abs=0.01)
    with pytest.raises(ValueError, match=r"expected 0 to 0.500: a sample keeps one modality of 2"):
        masking.random_masks(10, 0.6, 1, modalities=senses)


def test_absent_modalities_are_taken_out_of_a_clip(clips):
    left = masking.apply(clips[0], np.array([[True, False, True]]))
    assert set(left.clip) == {Modality.AUDIO, Modality.LANGUAGE}
    assert left.clip[Modality.AUDIO] is clips[0].clip[Modality.AUDIO]
    assert (left.score, left.id) == (clips[0].score, clips[0].id)


def test_steps_of_a_dialogue_are_masked_and_hold_nothing(dialogues):
    video = dialogues[3]  # five labels
    available = np.array([[1, 1, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
    left = masking.apply(video, available)
    for column, modality in enumerate(MODALITIES):
        steps, before = left.clip[modality], video.clip[modality]
        assert steps.mask.tolist() == available[:, column].tolist()
        assert not steps.values[~steps.mask].any()
        assert torch.equal(steps.values[steps.mask], before.values[steps.mask])
        assert before.mask.all(), "the original was changed"


def test_a_mask_must_fit_the_labels(dialogues):
    with pytest.raises(ValueError, match="available: 1 rows for 2 labels of video 0"):
        masking.apply(dialogues[0], np.ones((1, 3), bool))


def test_random_of_dialogues_is_drawn_per_utterance(dialogues):
    masked = masking.random(dialogues, rate=0.5, seed=1111)
    assert masked.name == "random per sample, rate 0.5"
    assert masked.left_out == ()
    there = np.concatenate(
        [np.stack([item.clip[modality].mask.numpy() for modality in MODALITIES], 1) for item in masked.examples]
    )
    assert there.any(1).all()
    assert masked.reached_rate == pytest.approx(1 - there.mean())
    assert 0 < len({tuple(row) for row in there.tolist()}) == 7  # all sets occur
    again = masking.random(dialogues, rate=0.5, seed=1111)
    for one, two in zip(masked.examples, again.examples, strict=True):
        assert all(torch.equal(one.clip[modality].values, two.clip[modality].values) for modality in MODALITIES)


@pytest.mark.parametrize("kept", SUBSETS, ids=lambda kept: "".join(sorted(modality.letter for modality in kept)))
def test_fixed_keeps_one_set_everywhere(clips, kept):
    masked = masking.fixed(clips, kept)
    assert masked.name == "fixed: " + " ".join(
        letter for letter in "lva" if letter in {modality.letter for modality in kept}
    )
    assert {frozenset(item.clip) for item in masked.examples} == {kept}
    assert masked.reached_rate == pytest.approx(1 - len(kept) / 3)
    collate([item.clip for item in masked.examples])


def test_examples_that_never_had_what_is_kept_are_told():
    rng = np.random.default_rng(0)
    faceless = example("no face", labels=1, steps=3, rng=rng, without={Modality.VIDEO})
    masked = masking.fixed([faceless, example("all", labels=1, steps=3, rng=rng)], {Modality.VIDEO})
    assert masked.left_out == ("no face",)
    assert [item.id for item in masked.examples] == ["all"]


def test_what_no_example_has_cannot_be_kept(clips):
    with pytest.raises(ValueError, match=r"kept: \[\], expected some of"):
        masking.fixed(clips, [])
    silent = [masking.apply(item, np.array([[False, True, True]])) for item in clips]
    with pytest.raises(ValueError, match=r"kept: \[.*audio.*\], expected some of \['video', 'language'\]"):
        masking.fixed(silent, {Modality.AUDIO})
    assert masking.random(silent, rate=0.2, seed=1).name == "random per sample of l v, rate 0.2"


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_within_loses_steps_at_the_rate(clips, rate):
    masked = masking.within(clips, rate=rate, seed=5)
    assert masked.name == f"within modality, rate {rate:g}"
    total = len(clips) * 15
    lost = sum(int((~steps.mask).sum()) for item in masked.examples for steps in item.clip.values())
    assert masked.reached_rate == pytest.approx(lost / total)
    # A clip of 15 steps whose last one is revived lowers the rate by (rate^15) / 15.
    expected = rate - rate**15 / 15
    assert abs(masked.reached_rate - expected) <= 4.5 * np.sqrt(rate * (1 - rate) / total) + 1e-12
    for item in masked.examples:
        assert any(steps.mask.any() for steps in item.clip.values())
        assert all(not steps.values[~steps.mask].any() for steps in item.clip.values())


def test_within_always_leaves_a_step():
    rng = np.random.default_rng(0)
    short = [example(f"{number}", labels=1, steps=1, rng=rng) for number in range(300)]
    masked = masking.within(short, rate=0.95, seed=1)
    assert all(sum(int(steps.mask.sum()) for steps in item.clip.values()) >= 1 for item in masked.examples)
    with pytest.raises(ValueError, match=r"rate: 1.0, expected a share in \[0, 1\)"):
        masking.within(short, rate=1.0, seed=1)


def test_within_never_brings_back_what_was_not_there(clips):
    item = clips[0]
    blind = dict(item.clip) | {Modality.VIDEO: as_steps(np.zeros((5, 4)), np.zeros(5, bool))}
    masked = masking.within([Example(id="blind", clip=blind, score=item.score)] * 50, rate=0.9, seed=2)
    assert not any(one.clip[Modality.VIDEO].mask.any() for one in masked.examples)


def test_filled_steps_share_a_grid_and_say_what_is_there(dialogues):
    available = np.array([[1, 0, 1], [0, 1, 1]], bool)
    full = masking.fill(masking.apply(dialogues[0], available))
    for column, (modality, dim) in enumerate(DIMS.items()):
        steps = full.clip[modality]
        assert steps.mask.tolist() == [True, True]
        assert steps.values.shape == (2, dim + 1)
        assert steps.values[:, -1].tolist() == available[:, column].tolist()
        assert not steps.values[~available[:, column]].any()
        assert steps.values[available[:, column], :-1].all()


def test_clips_of_one_label_cannot_be_filled(clips):
    with pytest.raises(ValueError, match=r"clip 0: steps .* expected 1 in each of"):
        masking.fill(clips[0])
