"""A dataset as training sees it: standardised, mixed, with parts missing, and validated alike for ever."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alignmamba.modality import MODALITIES, Modality
from tests.training import small
from training.data.benchmark import OUTLIER, Benchmark, Robustness, reachable, without
from training.data.datasets import Dataset, Example
from training.data.masking import fixed


def dataset(level="clip", count=30):
    parts = {
        split: tuple(
            Example(id=f"{split} {each.id}", clip=each.clip, score=each.score)
            for each in small.examples(level, count=count, seed=seed)
        )
        for seed, split in enumerate(("train", "valid", "test"))
    }
    return Dataset(name="small", level=level, splits=parts, data_sha256={})


def rows(examples, modality):
    return np.concatenate([each.clip[modality].values.numpy() for each in examples])


def test_columns_are_standardised_by_the_training_part():
    whole = dataset()
    found = Benchmark(whole, Robustness()).dataset
    for modality in MODALITIES:
        train, test = (rows(whole.splits[part], modality) for part in ("train", "test"))
        expected = ((test - train.mean(0)) / train.std(0)).clip(-OUTLIER, OUTLIER)
        np.testing.assert_allclose(rows(found.splits["test"], modality), expected, atol=1e-5)
    kept = Benchmark(whole, Robustness(), standardise=False).dataset
    assert torch.equal(kept.splits["test"][0].clip["audio"].values, whole.splits["test"][0].clip["audio"].values)


@pytest.mark.parametrize("own", [0.5, 8.0])
def test_a_mixed_step_keeps_its_own_share_of_itself(own):
    plain, mixed = (Benchmark(dataset(), Robustness(mix=mix)) for mix in ({}, {"language": own}))
    whole, corrupted = plain.corrupted("valid"), mixed.corrupted("valid", draws=40)
    true = np.tile(rows(whole, Modality.LANGUAGE), (40, 1))
    centre = rows(plain.dataset.splits["train"], Modality.LANGUAGE).mean(0)
    found = rows(corrupted, Modality.LANGUAGE)
    slope = ((found - centre) * (true - centre)).sum() / ((true - centre) ** 2).sum()
    assert slope == pytest.approx(own / (own + 2), abs=0.03)  # the mean of Dirichlet(own, 1, 1)
    np.testing.assert_array_equal(rows(corrupted[:30], Modality.AUDIO), rows(whole, Modality.AUDIO))
    for one, other in zip(whole, corrupted, strict=False):
        np.testing.assert_array_equal(one.score, other.score)


def test_test_clips_whose_labels_the_features_saw_are_mixed_as_training_clips_are():
    plain = dataset()
    unseen, seen = (
        Benchmark(replace(plain, features_saw_test=saw), Robustness(mix={"language": 1.0})) for saw in (False, True)
    )
    before, after = unseen.dataset.splits["test"], seen.dataset.splits["test"]
    assert [each.id for each in after] == [each.id for each in before]
    np.testing.assert_array_equal(rows(after, Modality.AUDIO), rows(before, Modality.AUDIO))
    np.testing.assert_array_equal(rows(after, Modality.LANGUAGE), rows(unseen.corrupted("test"), Modality.LANGUAGE))
    assert not np.allclose(rows(after, Modality.LANGUAGE), rows(before, Modality.LANGUAGE))
    np.testing.assert_array_equal(
        rows(seen.dataset.splits["valid"], Modality.LANGUAGE), rows(unseen.dataset.splits["valid"], Modality.LANGUAGE)
    )


def test_a_modality_that_is_left_out_has_nothing_to_mix():
    left = without(dataset("step"), Modality.AUDIO)
    for example in Benchmark(left, Robustness(mix={"audio": 1.0})).corrupted("train"):
        assert Modality.AUDIO not in example.clip or not example.clip[Modality.AUDIO].mask.any()


@pytest.mark.parametrize("level", ["clip", "step"])
def test_an_epoch_holds_each_clip_once_with_some_modality_and_validation_never_changes(level):
    benchmark = Benchmark(
        dataset(level), Robustness(missing_rate=0.7, complete_share=0.0, drop=0.5, mix={"audio": 1.0})
    )
    batches = benchmark.batches(7, np.random.default_rng(3))
    items = [item for batch in batches for item in batch]
    assert sorted(each.id for each, _ in items) == sorted(each.id for each in benchmark.dataset.splits["train"])
    lost = 0
    for dropped, complete in items:
        here = [steps.mask.any() for steps in dropped.clip.values()]
        assert any(here)
        lost += len(complete.clip) - sum(here) + sum(int((~steps.mask).sum()) for steps in dropped.clip.values())
    assert lost > 0
    model = torch.nn.Linear(1, 1)
    asked = []
    benchmark.measure = lambda _, examples: asked.append(examples) or {"mae": 1.0}
    assert benchmark.validate(model) == benchmark.validate(model) == {"chosen_by": 1.0, "mae": 1.0}
    assert asked[:4] == asked[4:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missing_rate": 1.5}, "missing_rate: 1.5"),
        ({"drop": -0.1}, "drop: -0.1"),
        ({"mix": {"smell": 1.0}}, r"mix: \['smell'\]"),
        ({"mix": {"audio": 0.0}}, "mix: 0.0 of audio, expected more than 0"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Robustness(**change)


class Fixed(torch.nn.Module):
    """Predicts one number, whatever it reads."""

    def __init__(self, value):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(float(value)))

    def forward(self, batch):
        shape = next(iter(batch.values())).mask.shape[:1]
        return SimpleNamespace(score=self.value.expand(shape))


def test_predictions_are_measured_as_the_model_gives_them():
    benchmark = Benchmark(dataset(), Robustness())
    examples = benchmark.dataset.splits["test"]
    truth = np.concatenate([each.score for each in examples])
    scores, _ = benchmark.scores(Fixed(5.0), examples)
    assert (scores == 5.0).all(), "MMSA clips for Acc-k only"
    assert benchmark.measure(Fixed(5.0), examples)["mae"] == pytest.approx(np.abs(5 - truth).mean(), abs=1e-6)


def test_a_clip_of_which_nothing_is_left_is_scored_by_the_mean_of_the_training_labels():
    benchmark = Benchmark(dataset(), Robustness())
    whole = benchmark.dataset.splits["test"]
    some = [
        Example(id=each.id, clip={} if place % 3 else each.clip, score=each.score) for place, each in enumerate(whole)
    ]
    scores, truth = benchmark.scores(Fixed(1.5), some)
    assert len(scores) == len(whole)
    np.testing.assert_array_equal(truth, np.concatenate([each.score for each in whole]))
    mean = np.mean([each.score for each in benchmark.dataset.splits["train"]])
    np.testing.assert_allclose(scores, [mean if place % 3 else 1.5 for place in range(len(whole))], rtol=1e-6)


def test_clips_that_have_only_what_is_left_out_are_tested_all_the_same():
    whole = dataset()
    only = [replace(each, clip={Modality.AUDIO: each.clip[Modality.AUDIO]}) for each in whole.splits["test"][:5]]
    parts = {**whole.splits, "test": (*only, *whole.splits["test"][5:])}
    left = without(replace(whole, splits=parts), Modality.AUDIO)
    assert len(left.splits["test"]) == 30
    benchmark = Benchmark(left, Robustness())
    masked = fixed(benchmark.dataset.splits["test"], {Modality.VIDEO, Modality.LANGUAGE})
    assert len(masked.left_out) == 5
    scores, _ = benchmark.scores(Fixed(0.5), masked.examples)
    assert (scores[:5] == benchmark.fallback).all() and (scores[5:] == 0.5).all()


def test_other_clips_labels_or_treatment_have_another_digest():
    whole = dataset()
    first = Benchmark(whole, Robustness()).digest
    assert Benchmark(dataset(), Robustness()).digest == first
    train = whole.splits["train"]
    turned = (replace(train[0], score=-train[0].score), *train[1:])
    assert Benchmark(replace(whole, splits={**whole.splits, "train": turned}), Robustness()).digest != first
    assert Benchmark(whole, Robustness(drop=0.1)).digest != first


def test_validation_takes_no_more_than_is_there_without_a_modality():
    left = Benchmark(without(dataset(), Modality.AUDIO), Robustness())
    assert left.validate(Fixed(0.5))["chosen_by"] > 0
    assert reachable((0.1, 0.5, 0.7), left.dataset.splits["valid"]) == [0.1, 0.5]
