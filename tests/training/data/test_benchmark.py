"""A dataset as training sees it: standardised, mixed, with parts missing, and validated alike for ever."""

import numpy as np
import pytest
import torch

from alignmamba.modality import MODALITIES, Modality
from tests.training import small
from training.data.benchmark import OUTLIER, Benchmark, Robustness, without
from training.data.datasets import Dataset, Example


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
