"""Peers keep the contract of the model: padding, absence, errors."""

import pytest
import torch

from alignmamba.batch import PaddedSteps, collate
from alignmamba.modality import ANCHOR_ORDER, SUBSETS
from tests.alignmamba.clips import AUDIO, clip, config
from training.baselines.streams import BASELINES, AttentionLayer, SelfAttentionLayer, positions


@pytest.fixture(params=sorted(BASELINES))
def model(request):
    return BASELINES[request.param](config(encoder_layers=1, fusion_layers=1))


def test_a_batch_gives_the_same_numbers_as_one_by_one(model):
    clips = []
    for number, subset in enumerate(SUBSETS):
        whole = clip(audio=9 + 3 * number, video=20 - 2 * number, language=1 + 2 * number, valid_share=0.7)
        clips.append({modality: steps for modality, steps in whole.items() if modality in subset})
    together = model(collate(clips))
    alone = [model(collate([one])) for one in clips]
    torch.testing.assert_close(together.score, torch.cat([one.score for one in alone]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.logits, torch.cat([one.logits for one in alone]), atol=1e-5, rtol=1e-5)
    anchors = [next(m for m in ANCHOR_ORDER if m in subset) for subset in SUBSETS]
    assert [ANCHOR_ORDER[i] for i in together.anchor.tolist()] == anchors


def test_every_present_modality_matters(model):
    whole = clip(audio=6, video=5, language=4)
    score = model(collate([whole])).score
    for modality, steps in whole.items():
        changed = {**whole, modality: steps._replace(values=steps.values + torch.randn_like(steps.values))}
        assert not torch.isclose(model(collate([changed])).score, score)


def test_all_parameters_learn_from_a_whole_clip(model):
    output = model(collate([clip(audio=6, video=5, language=4)]))
    (output.score.sum() + output.logits.square().sum()).backward()
    for name, parameter in model.named_parameters():
        if "source_norm" in name and "memory" not in name and "layers" not in name:
            continue
        assert parameter.grad is not None, name


def test_a_clip_without_anything_valid_is_refused(model):
    mask = torch.tensor([[True] * 3, [False] * 3])
    steps = PaddedSteps(values=torch.zeros(2, 3, 5), mask=mask, seconds=torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"batch: clips \[1\] have no valid step"):
        model({AUDIO: steps})
    with pytest.raises(ValueError, match="batch: no modality"):
        model({AUDIO: PaddedSteps(values=steps.values[1:], mask=mask[1:], seconds=steps.seconds[1:])})


def test_attention_is_the_written_out_formula():
    layer = AttentionLayer(8, dropout=0.0).double()
    x, source = torch.randn(1, 3, 8, dtype=torch.float64), torch.randn(1, 5, 8, dtype=torch.float64)
    q = layer.query(layer.norm(x))[0]
    k, v = layer.key_value(layer.source_norm(source))[0].chunk(2, -1)
    heads = [slice(2 * head, 2 * head + 2) for head in range(4)]
    found = torch.cat([((q[:, h] @ k[:, h].T) / 2**0.5).softmax(-1) @ v[:, h] for h in heads], -1)
    expected = x[0] + layer.out(found)
    expected = expected + layer.inner(layer.inner_norm(expected))
    torch.testing.assert_close(layer(x, source, None)[0], expected)
    own = SelfAttentionLayer(8, dropout=0.0).double()
    torch.testing.assert_close(own(x), AttentionLayer.forward(own, x, x, None))


def test_positions_are_sines_and_cosines():
    found = positions(4, 6, like=torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(found[3, 0::2], torch.sin(3 / 10_000 ** (torch.tensor([0.0, 2, 4]).double() / 6)))
    torch.testing.assert_close(found[:, 1], torch.cos(torch.arange(4.0).double()))


def test_width_must_fit_the_heads():
    with pytest.raises(ValueError, match="width: 6, expected a multiple of 4"):
        AttentionLayer(6, dropout=0.0)


def test_a_source_that_is_all_padding_is_finite():
    layer = AttentionLayer(8, dropout=0.0)
    x, source = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    out = layer(x, source, torch.tensor([[True] * 5, [False] * 5]))
    assert out.isfinite().all()
    torch.testing.assert_close(out[:1], layer(x[:1], source[:1], None))
