"""Masks of the protocols applied to examples: what stays of them, and the names of the results."""

import hashlib

import numpy as np
import pytest
import torch

from alignmamba.batch import collate
from alignmamba.evaluation.masks import Masks
from alignmamba.modality import MODALITIES, SUBSETS, Modality
from training.data import masking
from training.data.datasets import Example, as_steps

DIMS = dict(zip(MODALITIES, (3, 4, 5), strict=True))
DIGESTS = {  # of 400 clips with seed 1111
    "random": "14fb4f1cab51",
    "imbalanced": "1e9bb4f1fabf",
    "within": "647b49f1b402",
    "lnln": "69e867a9bf9b",
}


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


def test_examples_that_never_had_what_is_kept_are_listed():
    rng = np.random.default_rng(0)
    faceless = example("no face", labels=1, steps=3, rng=rng, without={Modality.VIDEO})
    masked = masking.fixed([faceless, example("all", labels=1, steps=3, rng=rng)], {Modality.VIDEO})
    assert masked.left_out == ("no face",)
    assert [item.id for item in masked.examples] == ["no face", "all"], "a clip without anything stays in the test set"
    assert masked.reached_rate == pytest.approx(5 / 6)


def test_the_missing_rate_counts_what_a_clip_never_had():
    rng = np.random.default_rng(0)
    some = [
        example(f"{number}", labels=1, steps=3, rng=rng, without={Modality.VIDEO} if number % 2 else set())
        for number in range(400)
    ]
    masked = masking.random(some, rate=0.1, seed=1)
    there = sum(len(item.clip) for item in masked.examples)
    assert len(masked.examples) == 400
    assert masked.reached_rate == pytest.approx(1 - there / 1200)
    assert masked.reached_rate > 0.24, "a sixth was never there, a tenth of the rest is taken"
    assert masking.complete(some).reached_rate == pytest.approx(1 / 6)


@pytest.mark.parametrize("shares", [(0.2, 0.5, 0.8), (0.8, 0.2, 0.5)])
def test_imbalanced_rates_are_met_modality_by_modality(clips, shares):
    rates = dict(zip(MODALITIES, shares, strict=True))
    masked = masking.imbalanced(clips, rates, seed=3)
    assert masked.name == f"imbalanced: l {shares[2]:g} v {shares[1]:g} a {shares[0]:g}"
    for modality, rate in rates.items():
        assert sum(modality not in item.clip for item in masked.examples) == int(rate * len(clips))
    empty = [item.id for item in masked.examples if not item.clip]
    assert masked.left_out == tuple(empty) and empty, "at these rates some clips lose everything"
    assert masked.reached_rate == pytest.approx(0.5, abs=0.01)


def test_lnln_loses_steps_without_telling_where(clips):
    masked = masking.lnln(clips, rate=0.9, seed=4)
    for before, after in zip(clips, masked.examples, strict=True):
        for modality, steps in after.clip.items():
            assert torch.equal(steps.mask, before.clip[modality].mask), "lost steps keep their place"
        text = after.clip[Modality.LANGUAGE].values
        whole = before.clip[Modality.LANGUAGE].values
        assert torch.equal(text[[0, -1]], whole[[0, -1]]), "both ends of the text are kept"
    voices = [each.clip[Modality.AUDIO].values for each in masked.examples]
    lost = np.mean([(values == 0).all(1).float().mean() for values in voices])
    assert lost == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("draw", [masking.within, masking.lnln])
def test_masks_of_a_file_take_the_place_of_a_draw(clips, draw):
    drawn, other = (draw(clips, rate=0.5, seed=seed) for seed in (1, 2))
    again = draw(clips, rate=0.5, seed=2, kept=drawn.kept)
    assert again.reached_rate == drawn.reached_rate != other.reached_rate
    with pytest.raises(ValueError, match="expected one for every step of"):
        draw([*clips, *clips], rate=0.5, seed=1, kept=drawn.kept)


def test_drawn_masks_have_the_digests_of_the_committed_tables(clips):
    """Another way of drawing would make tables that cannot be compared with those that are there."""
    rates = dict(zip(MODALITIES, (0.2, 0.5, 0.8), strict=True))
    drawn = {
        "random": masking.random(clips, rate=0.3, seed=1111),
        "imbalanced": masking.imbalanced(clips, rates, seed=1111),
        "within": masking.within(clips, rate=0.3, seed=1111),
        "lnln": masking.lnln(clips, rate=0.3, seed=1111),
    }
    found = {
        name: Masks(protocol=each.name, seed=1111, test_set="", kept=each.kept).sha256[:12]
        for name, each in drawn.items()
    }
    assert found == DIGESTS


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


def test_lost_steps_are_frozen_by_the_seed(clips):
    """Digests of what was drawn when the committed results were measured."""
    for rate, reached, digest in (
        (0.3, 0.3061666666666667, "f8076f8333d12ddb"),
        (0.9, 0.8848333333333334, "39627508165bbb01"),
    ):
        masked = masking.within(clips, rate=rate, seed=5)
        kept = np.concatenate([steps.mask.numpy() for each in masked.examples for steps in each.clip.values()])
        assert hashlib.sha256(np.packbits(kept).tobytes()).hexdigest()[:16] == digest
        assert masked.reached_rate == reached


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


def test_filled_steps_share_a_grid_and_mark_what_is_there(dialogues):
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
