"""Mixed precision changes neither an assignment nor a distance, and no length of a sequence changes a dtype."""

import pytest
import torch

from alignmamba.batch import ModalitySteps, collate
from alignmamba.config import ModelConfig
from alignmamba.modeling import mamba, transport
from alignmamba.modeling.mamba import BLOCK_STEPS, MambaLayer, run_layers
from alignmamba.modeling.mmd import mmd2
from alignmamba.modeling.model import AlignMamba
from tests.alignmamba.fake_cuda import gpu


def _half():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.fixture
def streams():
    source, target = torch.randn(2, 200, 64), torch.randn(2, 37, 64)
    return source, target, *(torch.ones(tensor.shape[:2], dtype=torch.bool) for tensor in (source, target))


@pytest.mark.parametrize("time_weight", [0.0, 0.5])
def test_autocast_changes_no_assignment(streams, time_weight):
    times = {"source_seconds": torch.rand(2, 200) * 20, "target_seconds": torch.rand(2, 37) * 20}
    plan = transport.relaxed_plan(*streams, time_weight=time_weight, **times)
    with _half():
        mixed = transport.relaxed_plan(*streams, time_weight=time_weight, **times)
    assert torch.equal(mixed.chosen, plan.chosen)


@pytest.mark.parametrize("scaling", ["paper", "mean"])
def test_autocast_changes_no_plan_and_nothing_transported(streams, scaling):
    def moved():
        cost = transport.cosine_cost(*streams[:2])
        plans = transport.relaxed_plan(*streams), transport.sinkhorn_plan(cost, *streams[2:], blur=0.1)
        return cost, *(plan.transport(streams[0], scaling=scaling) for plan in plans)

    expected = moved()
    with _half():
        for ours, wanted in zip(moved(), expected, strict=True):
            assert torch.equal(ours, wanted)


@pytest.mark.parametrize("bandwidth", ["inverse_dim", "median"])
def test_autocast_changes_no_mmd(streams, bandwidth):
    x, y, x_mask, y_mask = streams
    expected = mmd2(x, y, x_mask, y_mask, bandwidth=bandwidth)
    with _half():
        assert torch.equal(mmd2(x, y, x_mask, y_mask, bandwidth=bandwidth), expected)


def test_half_precision_in_is_half_precision_out(streams):
    source, target, *masks = streams
    plan = transport.relaxed_plan(source.bfloat16(), target.bfloat16(), *masks)
    assert torch.equal(
        plan.chosen, transport.relaxed_plan(source.bfloat16().float(), target.bfloat16().float(), *masks).chosen
    )
    assert plan.transport(source.bfloat16(), scaling="mean").dtype == torch.bfloat16


@pytest.mark.gpu_or_pretended
@pytest.mark.parametrize("cuda", [False, True], ids=["cpu", "cuda"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_length_does_not_change_the_dtype_under_autocast(cuda, overwrite, monkeypatch):
    monkeypatch.setattr(mamba, "GPU_BLOCK_STEPS", BLOCK_STEPS)
    layers = [MambaLayer(8, state_dim=4, conv_width=4, expand=2, dropout=0.0, bidirectional=False)]
    norm, project = torch.nn.LayerNorm(8), torch.nn.Linear(3, 8)

    def run(length, device):
        with torch.autocast(device, torch.bfloat16), torch.no_grad():
            x = project(torch.randn(1, length, 3).to(device))
            mask = torch.ones(1, length, dtype=torch.bool).to(device)
            return run_layers(layers, x, mask, norm=norm, overwrite=overwrite).dtype

    if not cuda:
        assert run(BLOCK_STEPS + 9, "cpu") == run(9, "cpu")
        return
    with gpu():
        layers, norm, project = [layer.to("cuda") for layer in layers], norm.to("cuda"), project.to("cuda")
        assert run(BLOCK_STEPS + 9, "cuda") == run(9, "cuda") == torch.float32


@pytest.mark.gpu_or_pretended
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("local", ["relaxed", "sinkhorn"])
def test_long_and_short_streams_meet_under_autocast(device, local, monkeypatch):
    monkeypatch.setattr(mamba, "GPU_BLOCK_STEPS", BLOCK_STEPS)

    def steps(count, dim):
        return ModalitySteps(torch.randn(count, dim), torch.ones(count, dtype=torch.bool), torch.arange(count) / 10)

    model = AlignMamba(ModelConfig(audio_dim=5, video_dim=4, language_dim=6, width=8, local=local)).eval()
    batch = collate([{"audio": steps(BLOCK_STEPS + 9, 5), "video": steps(12, 4), "language": steps(3, 6)}])

    def run():
        moved = {modality: padded.to(device) for modality, padded in batch.items()}
        with torch.autocast(device, torch.bfloat16), torch.no_grad():
            output = model.to(device)(moved)
        assert all(value.dtype == torch.float32 for value in output.mmd.values())
        return output.score.float().cpu()

    expected = model(batch).score
    if device == "cpu":
        assert torch.allclose(run(), expected, atol=0.1)
        return
    with gpu():
        assert torch.allclose(run(), expected, atol=0.1)
