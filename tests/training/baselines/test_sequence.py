"""Older peers keep the contract of the model at both levels: shapes, padding, absence, gradients."""

import pytest
import torch

from alignmamba.modality import Modality
from tests.training import small
from training.baselines.sequence import PEERS, Recurrent, on_one_grid

LEVELS = ("clip", "step")


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=sorted(PEERS))
def model(request, level):
    return PEERS[request.param](small.config(level)).eval()


def test_scores_and_logits_have_the_shape_of_the_labels(model, level):
    clips = small.examples(level)
    score, classes, _ = small.truth(level, clips)
    found = model(small.batch(level, clips))
    assert found.score.shape == score.shape
    assert found.logits.shape == (*classes.shape, 3)
    assert (found.mmd, found.plans, found.auxiliary) == ({}, {}, None)


def test_a_batch_of_mixed_lengths_gives_the_same_numbers_as_one_by_one(model, level):
    clips = small.dropped(small.examples(level))
    _, _, labelled = small.truth(level, clips)
    together = model(small.batch(level, clips)).score[labelled]
    alone = torch.cat([model(small.batch(level, [each])).score.flatten() for each in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_parameter(model, level):
    found = model(small.batch(level, small.examples(level)))
    (found.score.square().sum() + found.logits.square().sum()).backward()
    read = {str(Modality.LANGUAGE)} if type(model) is PEERS["language-only"] else {str(m) for m in Modality}
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
    model = PEERS["language-only"](small.config(level)).eval()
    whole = small.batch(level, small.examples(level))
    words = {Modality.LANGUAGE: whole[Modality.LANGUAGE]}
    torch.testing.assert_close(model(words).score, model(whole).score)


def test_an_lstm_reads_the_valid_prefix_only():
    lstm = Recurrent(3, 4)
    x, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True, True, False, False, False]])
    y = lstm(x, mask)
    torch.testing.assert_close(y[1:, :2], lstm(x[1:, :2], mask[1:, :2]))
    assert (y[1, 2:] == 0).all()
    with pytest.raises(ValueError, match="width: 5, expected an even number"):
        Recurrent(3, 5)


def test_streams_stand_side_by_side_with_zeros_for_what_is_absent():
    model = PEERS["early-fusion-lstm"](small.config("clip"))
    whole = small.batch("clip", small.examples("clip", count=3))
    streams = model.encoders({m: whole[m] for m in (Modality.AUDIO, Modality.LANGUAGE)})
    x, mask = on_one_grid(streams, model.config)
    assert (x[..., 8:16] == 0).all()
    words = streams[Modality.LANGUAGE]
    torch.testing.assert_close(x[..., 16:], words.x * words.mask[..., None])
    assert torch.equal(mask, words.mask)  # the longest stream
