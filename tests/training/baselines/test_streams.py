"""Single- and multi-stream backbones: padding, absent modalities, errors."""

import pytest
import torch

from alignmamba.batch import PaddedSteps, collate
from alignmamba.modality import ANCHOR_ORDER, SUBSETS
from tests.alignmamba.clips import AUDIO, clip, config
from training.baselines.streams import STREAMS


@pytest.fixture(params=sorted(STREAMS))
def model(request):
    return STREAMS[request.param](config(encoder_layers=1, fusion_layers=1))


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
