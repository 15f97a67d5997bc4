"""On a real GPU: every backend agrees with the reference, and the model with the CPU. `make test-gpu` runs these."""

import copy

import pytest
import torch

from alignmamba.batch import collate
from alignmamba.modeling import transport
from alignmamba.modeling.model import AlignMamba
from alignmamba.ops.selective_scan import BackendError, choose_backend
from tests.alignmamba.clips import clip, config
from tests.alignmamba.ops.scans import TOLERANCE, assert_close, double, make_inputs, run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]
DEVICES = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cuda:0"]


def on(device, inputs):
    return {name: tensor.detach().to(device).requires_grad_() for name, tensor in inputs.items()}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16), ids=str)
@pytest.mark.parametrize("backend", ["cuda", "triton", "torch"])
def test_scan(monkeypatch, backend, dtype, reverse, device):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    try:
        choose_backend(device)
    except BackendError as error:
        pytest.skip(str(error))
    inputs = make_inputs(2, 133, 40, 16, dtype)
    if backend == "cuda":  # takes no state
        inputs["state"] = torch.zeros_like(inputs["state"])
        wanted = run(monkeypatch, "reference", double(inputs), reverse=reverse)
        del inputs["state"], wanted["state"]
    else:
        wanted = run(monkeypatch, "reference", double(inputs), reverse=reverse)
    ours = run(monkeypatch, backend, on(device, inputs), reverse=reverse)
    assert_close({name: tensor.cpu() for name, tensor in ours.items()}, wanted, 4 * TOLERANCE[dtype])


@pytest.mark.parametrize("precision", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("local", ["relaxed", "sinkhorn"])
def test_model(local, precision):
    model = AlignMamba(config(local=local)).eval()
    batch = collate([clip(audio=1500, video=300, language=40), clip(audio=20)])
    expected = model(batch).score
    moved = {modality: steps.to("cuda") for modality, steps in batch.items()}
    with torch.no_grad(), torch.autocast("cuda", precision, enabled=precision is not None):
        score = copy.deepcopy(model).to("cuda")(moved).score
    tolerance = 1e-3 if precision is None else 0.1
    torch.testing.assert_close(score.float().cpu(), expected, rtol=tolerance, atol=tolerance)


def test_plan_does_not_depend_on_autocast():
    x, y = torch.randn(2, 400, 64, device="cuda"), torch.randn(2, 90, 64, device="cuda")
    masks = [torch.ones(tensor.shape[:2], dtype=torch.bool, device="cuda") for tensor in (x, y)]
    plan = transport.relaxed_plan(x, y, *masks)
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(transport.relaxed_plan(x, y, *masks).chosen, plan.chosen)
