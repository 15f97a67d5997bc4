"""Read-outs of clip-level columns: against a loop in float64, at either width, frozen, and step by step."""

import pytest
import torch

from alignmamba import checkpoint
from alignmamba.batch import ModalitySteps, collate
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import AlignMamba
from alignmamba.modeling.readout import CLAMP, Readout
from tests.alignmamba.clips import AUDIO, LANGUAGE, VIDEO, clip, config

WITH = {"audio_statistics": 3, "video_statistics": 1, "readouts": 2}  # of 5 and 4 columns


def fitted(**changes):
    model = AlignMamba(config(**WITH, **changes))
    for modality in (AUDIO, VIDEO):
        readout = model.encoders[modality].readout
        for buffer in (readout.mean, readout.weight, readout.bias):
            buffer.normal_()
        readout.std.uniform_(0.5, 2.0)
        model.encoders[modality].mean.normal_()
        model.encoders[modality].std.uniform_(0.5, 2.0)
    return model.eval()


def read_out(model, batch_clip):
    """The clip with read-outs in the place of its statistics."""
    made = dict(batch_clip)
    for modality, count in ((AUDIO, 3), (VIDEO, 1)):
        steps = made[modality]
        values = torch.cat([steps.values[:, :-count], model.encoders[modality].readout(steps.values[:, -count:])], 1)
        made[modality] = steps._replace(values=values)
    return made


def test_against_a_loop_in_float64():
    readout = Readout(5, readouts=3)
    for buffer in readout.buffers():
        buffer.normal_()
    readout.std.uniform_(0.5, 2.0)
    values = 3 * torch.randn(2, 4, 5)
    found = readout(values)
    mean, std, weight, bias = (buffer.double().tolist() for buffer in readout.buffers())
    clamped = 0
    for row in range(2):
        for step in range(4):
            for place in range(3):
                terms = zip(values[row, step].double().tolist(), mean, std, weight[place], strict=True)
                total = bias[place] + sum((value - m) / s * w for value, m, s, w in terms)
                clamped += abs(total) > CLAMP
                expected = max(-CLAMP, min(CLAMP, total))
                assert found[row, step, place].item() == pytest.approx(expected, abs=1e-4)
    assert 0 < clamped < 24


def test_both_widths_give_the_same_result():
    model, whole = fitted(), clip(audio=9, video=7, language=3, valid_share=0.7)
    raw, ready = model(collate([whole])), model(collate([read_out(model, whole)]))
    assert torch.equal(raw.score, ready.score) and torch.equal(raw.logits, ready.logits)


def test_statistics_move_the_score():
    model, whole = fitted(), clip(audio=9)
    other = whole[AUDIO].values.clone()
    other[:, 2:] += 1
    moved = {AUDIO: whole[AUDIO]._replace(values=other)}
    assert abs(model(collate([whole])).score - model(collate([moved])).score) > 1e-4


def test_no_gradient_reaches_a_readout():
    model = fitted().train()
    model(collate([clip(audio=5, video=4, language=3)])).score.sum().backward()
    assert not any("readout" in name for name, _ in model.named_parameters())
    assert not any(buffer.requires_grad for buffer in model.encoders[AUDIO].readout.buffers())
    assert model.encoders[AUDIO].project.weight.grad[:, -2:].abs().sum() > 0


def test_padded_and_masked_steps_do_not_matter():
    model = fitted()
    one = clip(audio=6, video=9, language=2, valid_share=0.6)
    long = clip(audio=20, video=20, language=8)
    corrupted = {
        m: s._replace(values=torch.where(s.mask[:, None], s.values, torch.full_like(s.values, 99.0)))
        for m, s in one.items()
    }
    alone = model(collate([one])).score[0]
    torch.testing.assert_close(model(collate([corrupted, long])).score[0], alone, atol=1e-5, rtol=1e-5)


def test_other_widths_are_refused_by_a_sentence_with_both():
    model = fitted()
    for width in (3, 6):
        steps = ModalitySteps(torch.zeros(2, width), torch.ones(2, dtype=torch.bool), torch.arange(2.0))
        expected = f"audio: {width} columns, expected 5 or, with read-outs in the place of statistics, 4"
        with pytest.raises(ValueError, match=expected):
            model(collate([{AUDIO: steps}]))


def test_without_statistics_the_weights_have_the_same_names():
    names = set(AlignMamba(config()).state_dict())
    assert not any("readout" in name for name in names)
    assert names < set(AlignMamba(config(**WITH)).state_dict())
    assert AlignMamba(config(**WITH)).encoders[LANGUAGE].readout is None


def test_a_checkpoint_keeps_its_readouts(tmp_path):
    model, whole = fitted(), clip(audio=9, video=7, language=3)
    checkpoint.save(tmp_path, model, schema={})
    loaded = checkpoint.load(tmp_path).model
    assert loaded.config == model.config
    with torch.inference_mode():  # a model that learns sums in another order
        assert torch.equal(loaded(collate([whole])).score, model(collate([whole])).score)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio_statistics": 5}, "audio_statistics: 5, expected from 0 to below audio_dim = 5"),
        ({"video_statistics": -1}, "video_statistics: -1, expected from 0 to below video_dim = 4"),
        ({"audio_statistics": 2, "readouts": 2}, "audio_statistics: 2, expected another number than readouts"),
        ({"readouts": 0}, "readouts: 0, expected at least 1"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_dict({**config().to_dict(), **change})
