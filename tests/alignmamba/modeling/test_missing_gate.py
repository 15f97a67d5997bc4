"""The gate on step sizes that knows what is missing: every backend against a loop in float64, and what it is told."""

import sys

import pytest
import torch
from torch import nn

from alignmamba.batch import PaddedSteps, collate
from alignmamba.config import ModelConfig
from alignmamba.modality import MODALITIES
from alignmamba.modeling import mamba
from alignmamba.modeling.mamba import Mamba, MambaLayer, run_layers
from alignmamba.modeling.missingness import by_token
from alignmamba.modeling.model import AlignMamba
from tests.alignmamba.clips import AUDIO, LANGUAGE, VIDEO, clip, config
from tests.alignmamba.fake_cuda import gpu
from tests.alignmamba.modeling.test_mamba import plain
from tests.alignmamba.modeling.test_model import open_gates
from tests.alignmamba.ops.scans import cpp
from tests.alignmamba.ops.test_triton import in_a_process

CONDITIONS = 9
HERE = "tests.alignmamba.modeling.test_missing_gate"
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # of float32 to float64


def gated(dtype=torch.float32):
    """A block whose gate is open, its steps, and what is missing at them: nothing at some."""
    torch.manual_seed(0)
    block = Mamba(8, state_dim=4, conditions=CONDITIONS).to(dtype)
    open_gates(block)
    missing = (torch.rand(2, 37, CONDITIONS) < 0.4).to(dtype)
    missing[:, ::5] = 0
    return block, torch.randn(2, 37, 8, dtype=dtype), missing


def expected():
    """Outputs of the loop in float64, and the gradients of their sum of squares."""
    block, x, missing = gated()
    block, x, missing = block.double(), x.double(), missing.double()
    y = plain(block, x, missing)
    y.square().sum().backward()
    return y.detach(), {name: parameter.grad for name, parameter in block.named_parameters()}


def compare(wanted, block, x, missing):
    y, gradients = wanted
    ours = block(x, missing=missing)
    ours.square().sum().backward()
    torch.testing.assert_close(ours.detach().cpu().double(), y, **CLOSE)
    for name, parameter in block.named_parameters():
        largest = gradients[name].abs().max()
        assert (parameter.grad.cpu().double() - gradients[name]).abs().max() <= 1e-4 * largest, name
    with torch.no_grad():  # where nothing records, the C++ kernels are other ones
        torch.testing.assert_close(block(x, missing=missing).cpu().double(), y, **CLOSE)


@pytest.mark.parametrize("backend", ["reference", "torch", cpp])
def test_agrees_with_the_loop(monkeypatch, backend):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    compare(expected(), *gated())


def with_triton():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALIGNMAMBA_SCAN", "triton")
        compare(expected(), *gated())
    print("same")


@pytest.mark.skipif(sys.platform != "linux", reason="triton runs on Linux only")
def test_agrees_with_the_loop_in_triton():
    printed = in_a_process(f"from {HERE} import with_triton as run; run()", TRITON_INTERPRET="1")
    assert printed == ["same"]


def test_agrees_with_the_loop_in_the_kernel_of_mamba_ssm(mamba_ssm, monkeypatch):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "cuda")
    wanted, (block, x, missing) = expected(), gated()
    with gpu():
        compare(wanted, block.to("cuda"), x.to("cuda"), missing.to("cuda"))
    assert mamba_ssm.dtypes == [torch.float32] * 2


def test_running_backwards_is_the_flipped_sequence():
    block, x, missing = gated(torch.float64)
    torch.testing.assert_close(
        block(x, missing=missing, reverse=True), block(x.flip(1), missing=missing.flip(1)).flip(1)
    )


def test_where_nothing_is_missing_it_is_one():
    block, x, missing = gated()
    with torch.no_grad():
        assert torch.equal(block(x, missing=torch.zeros_like(missing)), block(x))
        assert not torch.allclose(block(x, missing=missing), block(x))


def test_layers_run_in_pieces_give_the_same_numbers(monkeypatch):
    settings = {"state_dim": 4, "conv_width": 4, "expand": 2, "dropout": 0.0, "bidirectional": False}
    layers = nn.ModuleList(MambaLayer(8, **settings, conditions=CONDITIONS).double() for _ in range(2))
    open_gates(layers)
    _, x, missing = gated(torch.float64)
    mask, norm = torch.arange(37)[None] < torch.tensor([[37], [9]]), nn.Identity()
    whole = run_layers(layers, x, mask, norm=norm, missing=missing)
    monkeypatch.setattr(mamba, "BLOCK_STEPS", 5)
    with torch.no_grad():
        pieces = run_layers(layers, x, mask, norm=norm, missing=missing)
    torch.testing.assert_close(pieces, whole.detach())


@pytest.mark.parametrize("conditions", [0, 3])
def test_another_number_of_conditions_is_refused(conditions):
    _, x, missing = gated()
    with pytest.raises(ValueError, match=f"missing: 9 conditions, expected {conditions}"):
        Mamba(8, state_dim=4, conditions=conditions)(x, missing=missing)


def told(monkeypatch, model, batch):
    """What the fusion is told: (tokens, conditions) of the first clip, or None."""
    seen = []

    def noted(layers, x, mask, *, missing=None, **options):
        if layers is model.fusion:
            seen.append(missing)
        return run_layers(layers, x, mask, missing=missing, **options)

    monkeypatch.setattr("alignmamba.modeling.model.run_layers", noted)
    model(batch)
    return None if seen[0] is None else seen[0][0]


def test_tokens_are_told_which_modalities_the_clip_lacks(monkeypatch):
    model = AlignMamba(config(gate="missing", local="uniform"))  # which leaves no step without any
    found = told(monkeypatch, model, collate([clip(audio=4, language=4)]))
    no_video = torch.zeros(3, 3)
    no_video[:, MODALITIES.index(VIDEO)] = 1
    own = found.unflatten(1, (3, 3))[:2]  # the first step: audio, language
    assert torch.equal(own[0, MODALITIES.index(AUDIO)], no_video[0])
    assert torch.equal(own[1, MODALITIES.index(LANGUAGE)], no_video[0])
    assert own[0, MODALITIES.index(LANGUAGE)].sum() == own[1, MODALITIES.index(AUDIO)].sum() == 0


def test_steps_that_nothing_was_sent_to_are_told(monkeypatch):
    """Two audio steps reach at most two of four words."""
    found = told(monkeypatch, AlignMamba(config(gate="missing")), collate([clip(audio=2, video=9, language=4)]))
    no_audio = found.unflatten(1, (3, 3))[:, :, MODALITIES.index(AUDIO)].sum(1)
    assert no_audio.sum() in (3 * 2, 3 * 3)
    assert torch.equal(no_audio, no_audio[::3].repeat_interleave(3))


@pytest.mark.parametrize("absent", ["skip", "embed"])
def test_whole_clips_need_no_gate(monkeypatch, absent):
    torch.manual_seed(0)
    model = AlignMamba(config(gate="missing", absent=absent, local="uniform"))
    open_gates(model)
    whole = collate([clip(audio=4, video=4, language=4)])
    assert told(monkeypatch, model, whole) is None
    ungated = AlignMamba(config(absent=absent, local="uniform"))
    ungated.load_state_dict({n: v for n, v in model.state_dict().items() if not n.endswith("missing_gate")})
    torch.testing.assert_close(model(whole).score, ungated(whole).score, rtol=0, atol=0)


def test_at_steps_the_flag_is_read():
    """A step that was filled in is another one to the gate; encoders and fusion learn from it."""
    torch.manual_seed(0)
    model = AlignMamba(config(gate="missing", level="step"))
    open_gates(model)
    batch = {}
    for modality in MODALITIES:
        values = torch.randn(1, 6, model.config.feature_dim(modality))
        values[..., -1] = 1
        values[:, 2:4] = 0
        batch[modality] = PaddedSteps(
            values=values, mask=torch.ones(1, 6, dtype=torch.bool), seconds=torch.arange(6.0)[None]
        )
    model(batch).score.sum().backward()
    gates = {name: gate for name, gate in model.named_parameters() if name.endswith("missing_gate")}
    assert {name.split(".")[0] for name in gates} == {"encoders", "fusion"}
    assert all(gate.grad.abs().sum() > 0 for gate in gates.values())


def test_the_default_has_no_gate_and_old_settings_load():
    made = AlignMamba(config())
    assert not any("gate" in name for name in made.state_dict())
    settings = config().to_dict()
    del settings["gate"]
    assert ModelConfig.from_dict(settings) == config()


def test_a_token_has_the_block_of_its_own_modality():
    missing = torch.tensor([[[True, False, False], [False, True, True]]])
    found = by_token(missing, [0, 2], dtype=torch.float64).view(2, 2, 3, 3)  # (steps, places, own, missing)
    assert torch.equal(found[:, 0, 0], missing[0].double()) and torch.equal(found[:, 1, 2], missing[0].double())
    assert found.sum() == 2 * missing.sum()
