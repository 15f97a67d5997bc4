"""AlignMamba-2 as we read it: padding, absence, experts, distances, and nothing of the alignment at inference."""

import pytest
import torch

from alignmamba.batch import ModalitySteps, collate
from alignmamba.modality import ANCHOR_ORDER, SUBSETS, Modality
from alignmamba.modeling import alignmamba2
from alignmamba.modeling.alignmamba2 import AlignMamba2, ModalityAwareLayer, transport_distance
from alignmamba.modeling.loss import loss
from tests.alignmamba.clips import AUDIO, LANGUAGE, VIDEO, clip, config, mixed


@pytest.mark.parametrize("changes", [{}, {"bidirectional": True}, {"time_weight": 0.3, "classes": 0}])
def test_a_batch_gives_the_same_numbers_and_gradients_as_one_by_one(changes):
    model, clips = AlignMamba2(config(**changes)).double(), mixed()
    clips = [{m: steps._replace(values=steps.values.double()) for m, steps in each.items()} for each in clips]
    truth = torch.randn(len(clips), dtype=torch.float64)
    found = []
    for groups in ([list(range(len(clips)))], [[number] for number in range(len(clips))]):
        model.zero_grad()
        scores = []
        for group in groups:
            output = model(collate([clips[number] for number in group]))
            (len(group) / len(clips) * loss(output, truth[group], None, model.config)).backward()
            scores.append(output.score)
        grads = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        found.append((torch.cat(scores).detach(), grads))
    (together, grads), (alone, others) = found
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(grads, others)
    anchors = [next(m for m in ANCHOR_ORDER if m in subset) for subset in SUBSETS]
    assert [ANCHOR_ORDER[place] for place in model(collate(clips)).anchor.tolist()] == [*anchors, LANGUAGE]


def test_every_token_goes_to_the_shared_expert_and_its_own():
    """Against a loop over tokens; the scan sees them in the order of time."""
    layer = ModalityAwareLayer(config()).double().eval()
    width = layer.norm.normalized_shape[0]
    x, mask = torch.randn(1, 5, width, dtype=torch.float64), torch.ones(1, 5, dtype=torch.bool)
    by_time = torch.tensor([[3, 0, 4, 1, 2]])
    out = layer(x, mask, by_time=by_time, steps={AUDIO: 3, VIDEO: 2})
    scanned = layer.scan(x[:, by_time[0]])
    for place, token in enumerate(by_time[0].tolist()):
        own = layer.own[AUDIO if token < 3 else VIDEO]
        normed = layer.norm(scanned[0, place])
        torch.testing.assert_close(out[0, token], scanned[0, place] + layer.shared(normed) + own(normed))


def test_tokens_of_one_time_stand_in_the_configured_order():
    at = torch.tensor([0.0, 1.0, 2.0])
    whole = {modality: steps._replace(seconds=at) for modality, steps in clip(audio=3, video=3, language=3).items()}
    places = []
    model = AlignMamba2(config(order=(LANGUAGE, VIDEO, AUDIO)))
    for layer in model.fusion:
        layer.register_forward_pre_hook(lambda _, __, named: places.append(named["by_time"]), with_kwargs=True)
    model(collate([whole]))
    assert places[0].tolist() == [[0, 3, 6, 1, 4, 7, 2, 5, 8]]  # language, video, audio of each second


def test_the_transport_distance_against_a_loop():
    cost = torch.rand(3, 4, 5, dtype=torch.float64)
    source = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]]).bool()
    target = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 0, 0], [1, 1, 0, 0, 0]]).bool()
    found = transport_distance(cost.requires_grad_(), source, target)
    found.sum().backward()
    for number in range(2):
        mine = cost[number][source[number]][:, target[number]]
        assert found[number] == max(mine.amin(0).mean(), mine.amin(1).mean())
    assert found[2] == 0 and torch.isfinite(cost.grad).all() and not cost.grad[2].any()


def test_alignment_costs_nothing_at_inference(monkeypatch):
    model, batch = AlignMamba2(config()).eval(), collate([clip(audio=6, video=5, language=4)])
    trained = model(batch)
    assert set(trained.mmd) == {AUDIO, VIDEO} and trained.auxiliary > 0 and trained.plans == {}

    def never(*_, **__):
        raise AssertionError("measured")

    for name in ("stream_cost", "mmd2", "transport_distance"):
        monkeypatch.setattr(alignmamba2, name, never)
    predicted = model(batch, with_mmd=False)
    assert torch.equal(predicted.score, trained.score) and predicted.auxiliary is None and predicted.mmd == {}


def test_every_present_modality_and_every_parameter_counts():
    model, whole = AlignMamba2(config()).eval(), clip(audio=6, video=5, language=4)
    score = model(collate([whole])).score
    for modality, steps in whole.items():
        changed = {**whole, modality: steps._replace(values=steps.values + torch.randn_like(steps.values))}
        assert not torch.isclose(model(collate([changed])).score, score)
    output = model(collate([whole]))
    (output.score.sum() + output.logits.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_scores_of_steps_need_a_shared_grid():
    model = AlignMamba2(config(level="step")).eval()
    shared = clip(audio=4, video=4, language=4)
    assert model(collate([shared])).score.shape == (1, 4)
    with pytest.raises(ValueError, match="expected every clip to have each modality"):
        model(collate([clip(audio=4, video=4, language=3)]))


def test_a_clip_without_anything_valid_is_refused():
    nothing = ModalitySteps(torch.zeros(3, 5), torch.zeros(3, dtype=torch.bool), torch.arange(3.0))
    with pytest.raises(ValueError, match=r"clips\[0\]: no valid step"):
        AlignMamba2(config())(collate([{Modality.AUDIO: nothing}]))
