"""The planted dataset hides what it says, and AlignMamba finds it by local alignment only."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from alignmamba.batch import Batch, collate
from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from alignmamba.modeling.loss import loss as model_loss
from alignmamba.modeling.model import AlignMamba
from training.data.datasets import batches
from training.data.synthetic import KEY_COLUMNS, make_planted, spread

COUNT, EPOCHS, SIZE = 4000, 10, 64
CHANCE = 1 / 6  # of a frame to be sent to its word


@pytest.fixture(scope="module")
def planted():
    return make_planted(seed=5, count=COUNT)


def columns(example, modality):
    """Keys and values of the steps."""
    steps = example.clip[modality].values.numpy()
    return steps[:, :KEY_COLUMNS], steps[:, KEY_COLUMNS:].mean(1)


def test_scores_follow_from_frames_and_their_words(planted):
    for example in planted.splits["test"]:
        word_of = list(planted.word_of[example.id])
        face, frames = columns(example, Modality.VIDEO)
        said, words = columns(example, Modality.LANGUAGE)
        assert sorted(word_of) == list(range(6))
        assert (F.normalize(torch.tensor(face)) @ F.normalize(torch.tensor(said)).T).argmax(1).tolist() == word_of
        assert example.score[0] == pytest.approx(3 * np.mean(np.sign(frames) * np.sign(words[word_of])))
        assert example.score[0] in (-3, -1, 1, 3)
        assert np.sign(frames).sum() == np.sign(words).sum() == 0


def test_neither_modality_nor_a_place_decides_the_label(planted):
    examples = planted.splits["train"]
    truth = np.array([example.score[0] for example in examples]) > 0
    assert abs(truth.mean() - 0.5) < 0.03
    values = [np.stack([columns(example, modality)[1] for example in examples]) for modality in planted.dims]
    columns_of = np.concatenate([*values, values[0] * values[1]], 1)  # each value, and products at the same place
    for column in columns_of.T:
        assert abs(np.corrcoef(column, truth)[0, 1]) < 4.5 / np.sqrt(len(truth))


def test_words_spread_over_more_columns_say_the_same():
    plain = make_planted(seed=1, count=20)
    wide = spread(plain, 768, seed=1)
    assert wide.dims == {Modality.VIDEO: 18, Modality.LANGUAGE: 768}
    assert wide.word_of == plain.word_of
    for split, examples in plain.splits.items():
        for before, after in zip(examples, wide.splits[split], strict=True):
            narrow, values = (each.clip[Modality.LANGUAGE].values.double() for each in (before, after))
            torch.testing.assert_close(values @ values.T, narrow @ narrow.T * 768 / 18, rtol=1e-4, atol=1e-3)
            assert torch.equal(before.clip[Modality.VIDEO].values, after.clip[Modality.VIDEO].values)
    words = torch.cat([each.clip[Modality.LANGUAGE].values for each in wide.splits["train"]])
    assert words.std(0).min() > 0.3  # no column is empty


def test_the_same_seed_makes_the_same():
    one, same, other = (make_planted(seed=seed, count=20) for seed in (1, 1, 2))
    assert one.word_of == same.word_of != other.word_of
    assert {split: len(part) for split, part in one.splits.items()} == {"train": 16, "valid": 2, "test": 2}
    for here, there in zip(one.splits["train"], same.splits["train"], strict=True):
        assert torch.equal(here.clip[Modality.VIDEO].values, there.clip[Modality.VIDEO].values)


@pytest.mark.parametrize("options", [{"words": 4}, {"words": 5}, {"words": 0}, {"count": 9}])
def test_settings_without_an_answer_are_refused(options):
    with pytest.raises(ValueError, match=rf"{next(iter(options))}: \d+, expected"):
        make_planted(**{"seed": 1, "count": 20} | options)


def trained(planted, *, local: str, align_weight: float) -> AlignMamba:
    """A small model after `EPOCHS` passes; columns are of unit size by construction."""
    torch.manual_seed(1111)
    rng = np.random.default_rng(1111)
    dims = planted.dims
    config = ModelConfig(
        audio_dim=1,
        video_dim=dims[Modality.VIDEO],
        language_dim=dims[Modality.LANGUAGE],
        width=32,
        encoder_layers=0,
        dropout=0.0,
        local=local,
        scaling="mean",
        align_weight=align_weight,
        classes=0,
    )
    model = AlignMamba(config)
    steps = EPOCHS * -(-len(planted.splits["train"]) // SIZE)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps + 1)
    for _ in range(EPOCHS):
        for examples in batches(planted.splits["train"], SIZE, rng):
            batch, score = as_batch(examples)
            optimiser.zero_grad()
            model_loss(model(batch), score, None, config).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return model.eval()


def as_batch(examples) -> tuple[Batch, torch.Tensor]:
    return collate([example.clip for example in examples]), torch.tensor([float(e.score[0]) for e in examples])


@torch.no_grad()
def measured(model, planted) -> tuple[float, float]:
    """Accuracy of the sign on the test part, and the share of frames that are sent to their words."""
    batch, score = as_batch(planted.splits["test"])
    output = model(batch)
    answer = torch.tensor([planted.word_of[example.id] for example in planted.splits["test"]])
    found = output.plans[Modality.VIDEO].dense().argmax(-1) == answer
    return ((output.score > 0) == (score > 0)).double().mean().item(), found.double().mean().item()


@pytest.mark.training
def test_local_alignment_finds_the_pairs_and_the_label(planted):
    accuracy, found = measured(trained(planted, local="relaxed", align_weight=3.0), planted)
    assert accuracy > 0.95
    assert found > 0.95


@pytest.mark.training
def test_without_local_alignment_the_label_is_guessed(planted):
    accuracy, found = measured(trained(planted, local="uniform", align_weight=3.0), planted)
    assert accuracy < 0.65
    assert abs(found - CHANCE) < 0.05
