"""Recurrent baselines and the language-only one: gradients, absent modalities, padding."""

import pytest
import torch

from alignmamba.modality import Modality
from tests.training import small
from training.baselines.language_only import LanguageOnly
from training.baselines.lstm import BiLSTM, EarlyFusionLSTM, concatenate
from training.baselines.registry import build


@pytest.fixture(params=("clip", "step"))
def level(request):
    return request.param


@pytest.fixture(params=["language-only", "early-fusion-lstm", "bc-lstm"])
def model(request, level):
    return build(request.param, small.config(level)).eval()


def test_gradients_reach_every_parameter(model, level):
    found = model(small.batch(level, small.examples(level)))
    (found.score.square().sum() + found.logits.square().sum()).backward()
    read = {str(Modality.LANGUAGE)} if isinstance(model, LanguageOnly) else {str(m) for m in Modality}
    for name, parameter in model.named_parameters():
        if not name.startswith("encoders.") or name.split(".")[1] in read:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_a_modality_that_no_clip_has_is_borne(model, level):
    whole = small.batch(level, small.examples(level))
    for modality in whole:
        rest = {other: steps for other, steps in whole.items() if other != modality}
        found = model(rest).score
        assert found.shape == model(whole).score.shape
        assert found.isfinite().all()


def test_words_alone_decide_the_language_model(level):
    model = LanguageOnly(small.config(level)).eval()
    whole = small.batch(level, small.examples(level))
    words = {Modality.LANGUAGE: whole[Modality.LANGUAGE]}
    torch.testing.assert_close(model(words).score, model(whole).score)


def test_an_lstm_reads_the_valid_prefix_only():
    lstm = BiLSTM(3, 4)
    x, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True, True, False, False, False]])
    y = lstm(x, mask)
    torch.testing.assert_close(y[1:, :2], lstm(x[1:, :2], mask[1:, :2]))
    assert (y[1, 2:] == 0).all()
    with pytest.raises(ValueError, match="width: 5, expected an even number"):
        BiLSTM(3, 5)


def test_streams_stand_side_by_side_with_zeros_for_what_is_absent():
    model = EarlyFusionLSTM(small.config("clip"))
    whole = small.batch("clip", small.examples("clip", count=3))
    streams = model.encoders({m: whole[m] for m in (Modality.AUDIO, Modality.LANGUAGE)})
    x, mask = concatenate(streams, model.config)
    assert (x[..., 8:16] == 0).all()
    words = streams[Modality.LANGUAGE]
    torch.testing.assert_close(x[..., 16:], words.x * words.mask[..., None])
    assert torch.equal(mask, words.mask)  # the longest stream
