"""Alignment to the first modality that each step has (`ModelConfig.anchor`)."""

import pytest
import torch

from alignmamba.batch import ModalitySteps, collate
from alignmamba.modeling.model import AlignMamba
from alignmamba.modeling.transport import relaxed_plan
from tests.alignmamba.clips import AUDIO, DIMS, LANGUAGE, VIDEO, config

STEPS = 6


def conversation(missing):
    """A clip on a grid that all modalities share; `missing` names modalities and the steps that are filled in."""
    made = {}
    for modality, dim in DIMS.items():
        values = torch.randn(STEPS, dim)
        values[:, -1] = 1.0  # the flag
        for step in missing.get(modality, ()):
            values[step] = 0.0
        made[modality] = ModalitySteps(values, torch.ones(STEPS, dtype=torch.bool), torch.arange(STEPS).float())
    return made


@pytest.fixture
def pair():
    """Two models of the same weights, aligned by clip and by step."""
    torch.manual_seed(0)
    options = {"level": "step", "time_weight": 0.1, "scaling": "mean"}
    by_clip, by_step = (AlignMamba(config(anchor=anchor, **options)).eval() for anchor in ("clip", "step"))
    by_step.load_state_dict(by_clip.state_dict())
    return by_clip, by_step


def test_where_every_step_has_language_nothing_changes(pair):
    batch = collate([conversation({VIDEO: (1,)}), conversation({AUDIO: (0, 5)})])
    by_clip, by_step = (model(batch) for model in pair)
    assert torch.equal(by_clip.score, by_step.score)
    assert all(torch.equal(by_clip.mmd[modality], by_step.mmd[modality]) for modality in (AUDIO, VIDEO))


def test_a_step_without_language_is_aligned_to_its_video_and_one_without_both_to_its_audio(pair):
    batch = collate([conversation({LANGUAGE: (1, 4), VIDEO: (4,)})])
    by_clip, by_step = pair
    streams = by_step.encoders(batch)
    goal = streams[LANGUAGE].x.clone()
    goal[:, 1], goal[:, 4] = streams[VIDEO].x[:, 1], streams[AUDIO].x[:, 4]
    output = by_step(batch)
    for modality in (AUDIO, VIDEO):
        stream = streams[modality]
        expected = relaxed_plan(
            stream.x, goal, stream.mask, stream.mask, time_weight=0.1,
            source_seconds=stream.seconds, target_seconds=stream.seconds,
        )  # fmt: skip
        assert torch.equal(output.plans[modality].dense(), expected.dense())
    assert not torch.equal(output.score, by_clip(batch).score)


def test_distances_are_those_of_the_loss(pair):
    batch = collate([conversation({LANGUAGE: (0, 2)})])
    model = pair[1]
    output = model(batch)
    found = model.distances(model.encoders(batch), output)
    for modality, expected in output.mmd.items():
        torch.testing.assert_close(found[modality], expected)


def test_a_step_that_has_nothing_keeps_the_filled_in_language(pair):
    batch = collate([conversation({LANGUAGE: (3,), VIDEO: (3,), AUDIO: (3,)})])
    by_clip, by_step = (model(batch) for model in pair)
    assert torch.equal(by_clip.score, by_step.score)


def test_clips_are_refused():
    with pytest.raises(ValueError, match='anchor: "step" at level \'clip\', expected level "step"'):
        config(anchor="step")
