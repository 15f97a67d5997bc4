"""The registry builds every baseline, and all keep one contract: shapes, padding, levels."""

import pytest
import torch

from tests.training import small
from training.baselines.registry import ABLATION, BASELINES, MAIN, build


@pytest.fixture(params=("clip", "step"))
def level(request):
    return request.param


@pytest.fixture(params=sorted(BASELINES))
def model(request, level):
    return build(request.param, small.config(level)).eval()


def test_outputs_have_the_shape_of_the_labels_and_align_nothing(model, level):
    clips = small.examples(level)
    score, classes, _ = small.truth(level, clips)
    found = model(small.batch(level, clips))
    assert found.score.shape == score.shape
    assert found.logits is None or found.logits.shape == (*classes.shape, 3)
    assert (found.mmd, found.plans, found.auxiliary) == ({}, {}, None)


def test_a_batch_of_mixed_lengths_gives_the_same_numbers_as_one_by_one(model, level):
    clips = small.dropped(small.examples(level))
    _, _, labelled = small.truth(level, clips)
    together = model(small.batch(level, clips)).score[labelled]
    alone = torch.cat([model(small.batch(level, [each])).score.flatten() for each in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_every_row_of_a_table_has_a_model():
    for name in {*MAIN, *ABLATION}:
        assert isinstance(build(name, small.config("clip")), torch.nn.Module)


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match="model: 'guess', expected one of"):
        build("guess", small.config("clip"))
