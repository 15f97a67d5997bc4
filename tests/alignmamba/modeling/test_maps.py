"""Alignment maps: at their places, and the same in blocks."""

import numpy as np
import pytest
import torch

from alignmamba.batch import collate
from alignmamba.modality import Modality
from alignmamba.modeling import maps
from alignmamba.modeling.attribution import attribute
from alignmamba.modeling.model import AlignMamba, stream_cost
from tests.alignmamba.clips import AUDIO, LANGUAGE, VIDEO, clip, config


@pytest.fixture
def clips():
    """A model, a clip of which some steps are invalid, and its streams."""
    model = AlignMamba(config(time_weight=0.3)).eval().requires_grad_(False)
    whole = clip(audio=9, video=7, language=4, valid_share=0.6)
    return model, whole, model.encoders(collate([whole]))


@pytest.mark.parametrize("pairs", [1, 8, 10_000])
def test_a_map_has_plan_and_cost_at_the_places_of_the_clip(clips, monkeypatch, pairs):
    model, whole, streams = clips
    plan = model.fuse(streams).plans[AUDIO]
    valid = {modality: steps.mask.numpy() for modality, steps in whole.items()}
    monkeypatch.setattr(maps, "BLOCK_PAIRS", pairs)
    found = maps.alignment(AUDIO, LANGUAGE, plan, streams=streams, valid=valid, time_weight=0.3)
    both = valid[AUDIO][:, None] & valid[LANGUAGE]
    assert found.plan.shape == found.cost.shape == both.shape
    assert np.array_equal(np.isnan(found.cost), ~both) and not found.plan[~both].any()
    expected = stream_cost(streams[AUDIO], streams[LANGUAGE], time_weight=0.3)[0]
    np.testing.assert_allclose(found.cost[both], expected.flatten(), atol=1e-6)
    np.testing.assert_array_equal(found.plan[both], plan.dense()[0].flatten())
    np.testing.assert_allclose(found.plan.sum(), 1.0, atol=1e-6)


def test_the_distance_beside_an_attribution_is_that_of_the_model(clips):
    model, _, streams = clips
    output, shares = attribute(model, streams)
    expected = model.fuse(streams).mmd
    assert set(shares) == {AUDIO, VIDEO, LANGUAGE} and set(output.mmd) == set(expected) == {AUDIO, VIDEO}
    for modality, distance in expected.items():
        torch.testing.assert_close(output.mmd[modality], distance)
        assert not output.mmd[modality].requires_grad
    mixed = model.encoders(collate([clip(audio=5, video=6, language=3), {Modality.AUDIO: clip(audio=4)[AUDIO]}]))
    output, _ = attribute(model, mixed)
    for modality, distance in model.fuse(mixed).mmd.items():
        torch.testing.assert_close(output.mmd[modality], distance)
