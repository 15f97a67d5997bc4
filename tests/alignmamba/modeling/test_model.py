"""The whole model: padding, absence, order, anchors, loss."""

import pytest
import torch
from torch.nn import functional as F

from alignmamba.batch import ModalitySteps, PaddedSteps, collate
from alignmamba.modality import ANCHOR_ORDER, MODALITIES, SUBSETS
from alignmamba.modeling.encoders import Stream
from alignmamba.modeling.loss import loss
from alignmamba.modeling.model import Aligned, AlignMamba
from tests.alignmamba.clips import AUDIO, DIMS, LANGUAGE, VIDEO, clip, config, mixed

VARIANTS = [
    {},
    {"bidirectional": True},
    {"local": "uniform"},
    {"local": "sinkhorn", "scaling": "mean"},
    {"scaling": "mean", "bandwidth": "median"},
    {"absent": "embed"},
    {"time_weight": 0.3, "order": (LANGUAGE, VIDEO, AUDIO)},
    {"encoder_layers": 0, "classes": 0},
    {"gate": "missing"},
    {"gate": "missing", "absent": "embed", "bidirectional": True},
]


def open_gates(model):
    """Away from their beginning, where all gates are one."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("missing_gate"):
                parameter.normal_()


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_batch_gives_the_same_numbers_and_gradients_as_one_by_one(changes):
    model, clips = AlignMamba(config(**changes)), mixed()
    open_gates(model)
    truth, classes = torch.randn(len(clips)), torch.arange(len(clips)) % 3
    classes = classes if model.config.classes else None

    def run(groups):
        model.zero_grad()
        scores = []
        for group in groups:
            output = model(collate([clips[i] for i in group]))
            share = len(group) / len(clips)
            chosen = classes[group] if classes is not None else None
            (share * loss(output, truth[group], chosen, model.config)).backward()
            scores.append(output.score)
        return torch.cat(scores), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    together, together_gradients = run([list(range(len(clips)))])
    alone, alone_gradients = run([[i] for i in range(len(clips))])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert together_gradients.keys() == alone_gradients.keys()
    for name, gradient in together_gradients.items():
        torch.testing.assert_close(gradient, alone_gradients[name], atol=2e-5, rtol=1e-4, msg=name)


def test_values_at_invalid_steps_have_no_influence():
    model, one = AlignMamba(config()), clip(audio=12, video=9, language=5, valid_share=0.6)
    noisy = {
        m: s._replace(values=torch.where(s.mask[:, None], s.values, torch.full_like(s.values, 99.0)))
        for m, s in one.items()
    }
    torch.testing.assert_close(model(collate([one])).score, model(collate([noisy])).score)


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_anchor_is_language_then_video_then_audio(subset):
    model = AlignMamba(config())
    whole = clip(audio=6, video=5, language=4)
    output = model(collate([{m: s for m, s in whole.items() if m in subset}]))
    expected = next(modality for modality in ANCHOR_ORDER if modality in subset)
    assert ANCHOR_ORDER[int(output.anchor)] == expected
    assert set(output.plans) == subset - {expected}


def test_tokens_are_interleaved_by_time_in_the_given_order():
    for order in (MODALITIES, MODALITIES[::-1]):
        model = AlignMamba(config(order=order))
        steps = {modality: torch.full((1, 3, 8), float(rank)) for rank, modality in enumerate(order)}
        mask = torch.ones(1, 3, dtype=torch.bool)
        target = Stream(steps[LANGUAGE], mask, torch.zeros(1, 3), mask)
        tokens, *_ = model._interleave({m: Aligned(x, mask, mask) for m, x in steps.items()}, target)
        assert tokens[0, :, 0].tolist() == [0, 1, 2] * 3


def test_one_modality_alone_is_fused_without_alignment():
    model, only = AlignMamba(config()), clip(audio=7)
    batch = collate([only])
    x = model.encoders.encode(AUDIO, batch[AUDIO]).x
    for layer in model.fusion:
        x = layer(x)
    expected = model.heads.score(model.norm(x).mean(1)).squeeze(-1)
    torch.testing.assert_close(model(batch).score, expected)


def test_an_embedded_absent_modality_takes_part_and_learns():
    model = AlignMamba(config(absent="embed"))
    model(collate([clip(language=4)])).score.sum().backward()
    assert model.absent["audio"].grad.abs().sum() > 0
    assert model.absent["language"].grad is None or model.absent["language"].grad.abs().sum() == 0


def test_loss_is_task_plus_lambda_align():
    truth, classes = torch.tensor([1.0, -2.0]), torch.tensor([2, 0])
    clips = [clip(audio=5, video=6, language=4), clip(audio=5, language=3)]
    model = AlignMamba(config(align_weight=0.7))
    output = model(collate(clips))
    task = F.mse_loss(output.score, truth) + F.cross_entropy(output.logits, classes)
    align = output.mmd[AUDIO].mean() + output.mmd[VIDEO].mean()
    assert output.mmd[VIDEO][1] == 0
    torch.testing.assert_close(loss(output, truth, classes, model.config), task + 0.7 * align)


def test_mmd_loss_reaches_both_encoders():
    model = AlignMamba(config())
    output = model(collate([clip(audio=5, language=4)]))
    output.mmd[AUDIO].sum().backward()
    for modality in (AUDIO, LANGUAGE):
        assert model.encoders[modality].project.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.full((1, 3, 5), torch.nan), "values: holds NaN or inf"),
        (torch.full((1, 3, 5), torch.inf), "values: holds NaN or inf"),
    ],
)
def test_bad_numbers_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PaddedSteps(values=values, mask=torch.ones(1, 3, dtype=torch.bool), seconds=torch.zeros(1, 3))
    with pytest.raises(ValueError, match="seconds: holds NaN or inf, expected finite"):
        PaddedSteps(values=torch.zeros(1, 3, 5), mask=torch.ones(1, 3, dtype=torch.bool), seconds=values[:, :, 0])


def test_a_sequence_of_no_steps_is_refused_alone_and_left_out_in_company():
    empty = ModalitySteps(torch.zeros(0, DIMS[AUDIO]), torch.zeros(0, dtype=torch.bool), torch.zeros(0))
    with pytest.raises(ValueError, match=r"clips\[0\]: no valid step in any modality"):
        collate([{AUDIO: empty}])
    alone = PaddedSteps(values=empty.values[None], mask=empty.mask[None], seconds=empty.seconds[None])
    model, words = AlignMamba(config()), clip(language=4)
    with pytest.raises(ValueError, match="batch: no modality, expected at least one"):
        model({AUDIO: alone})
    torch.testing.assert_close(model(collate([{**words, AUDIO: empty}])).score, model(collate([words])).score)


def test_an_unknown_modality_is_refused():
    sniffed = {"smell": clip(audio=3)[AUDIO]}
    with pytest.raises(ValueError, match=r"clips\[1\]: unknown modality \['smell'\], expected some of \['audio', 'vid"):
        collate([clip(audio=2), sniffed])
    steps = collate([clip(audio=3)])[AUDIO]
    with pytest.raises(ValueError, match=r"batch: unknown modality \['smell'\], expected some of \['audio'"):
        AlignMamba(config())({"smell": steps})


def test_wrong_columns_are_refused():
    steps = PaddedSteps(values=torch.zeros(1, 3, 7), mask=torch.ones(1, 3, dtype=torch.bool), seconds=torch.zeros(1, 3))
    with pytest.raises(ValueError, match="audio: 7 columns, expected 5"):
        AlignMamba(config())({AUDIO: steps})


def test_a_clip_without_anything_valid_is_refused():
    dead = ModalitySteps(torch.zeros(3, DIMS[AUDIO]), torch.zeros(3, dtype=torch.bool), torch.zeros(3))
    with pytest.raises(ValueError, match=r"clips\[1\]: no valid step"):
        collate([clip(audio=2), {AUDIO: dead}])
    with pytest.raises(ValueError, match="clips: none given"):
        collate([])
    steps = PaddedSteps(
        values=torch.zeros(2, 3, 5), mask=torch.tensor([[True] * 3, [False] * 3]), seconds=torch.zeros(2, 3)
    )
    with pytest.raises(ValueError, match=r"batch: clips \[1\] have no valid step"):
        AlignMamba(config())({AUDIO: steps})
    with pytest.raises(ValueError, match="batch: no modality"):
        AlignMamba(config())(
            {AUDIO: PaddedSteps(values=steps.values[1:], mask=steps.mask[1:], seconds=steps.seconds[1:])}
        )


def test_running_scores_are_those_of_the_tokens_read_so_far():
    model, whole = AlignMamba(config()), clip(audio=6, video=5, language=4)
    output = model(collate([whole]))
    running = model.running_scores(output.fused, streams=3)
    assert running.shape == (1, 4)
    torch.testing.assert_close(running[:, -1], output.score)
    for word in range(4):
        pooled = output.fused.tokens[:, : 3 * (word + 1)].mean(1)
        torch.testing.assert_close(running[:, word], model.heads.score(pooled).squeeze(-1))
    with pytest.raises(ValueError, match="bidirectional: True"):
        AlignMamba(config(bidirectional=True)).running_scores(output.fused, streams=3)
