"""mamba-ssm's kernel is called as it wants to be, and is what the model runs."""

import pytest
import torch

from alignmamba.modeling import mamba
from alignmamba.modeling.mamba import BLOCK_STEPS, Mamba, MambaLayer, run_layers
from alignmamba.ops import cuda
from alignmamba.ops.interface import Inputs
from alignmamba.ops.selective_scan import BackendError, backend_name, choose_backend, selective_scan
from benchmarks import scan as benchmark
from tests.alignmamba.fake_cuda import gpu
from tests.alignmamba.ops.scans import NAMES, TOLERANCE, assert_close, double, loss, make_inputs, run

ON_CPU = pytest.mark.parametrize("mamba_ssm", ["cpu"], indirect=True)
LAYER = {"state_dim": 4, "conv_width": 4, "expand": 2, "dropout": 0.0, "bidirectional": False}


@ON_CPU
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.float16), ids=str)
def test_layout_direction_and_precision(mamba_ssm, monkeypatch, dtype, reverse):
    inputs = make_inputs(2, 33, 6, 5, dtype)
    inputs["state"] = torch.zeros_like(inputs["state"]).detach()
    half = {name: tensor if name in ("x", "dt", "B", "C") else tensor.float() for name, tensor in inputs.items()}
    y, final = cuda.scan(Inputs(**half), reverse=reverse)
    assert y.dtype == dtype and final.dtype == torch.float32
    assert mamba_ssm.dtypes == [dtype]
    given = {name: inputs[name] for name in NAMES if name != "state"}
    gradients = torch.autograd.grad(loss(y, final), list(given.values()))
    ours = {"y": y, "final": final, **dict(zip(given, gradients, strict=True))}
    expected = double(inputs) | {"state": inputs["state"].double()}
    assert_close(ours, run(monkeypatch, "reference", expected, reverse=reverse), TOLERANCE[dtype])


def test_the_model_runs_it(mamba_ssm, monkeypatch):
    block, x = Mamba(8, state_dim=4), torch.randn(2, 9, 8)
    expected = block(x)
    for forced in (None, "cuda"):
        if forced:
            monkeypatch.setenv("ALIGNMAMBA_SCAN", forced)
        with gpu():
            moved = Mamba(8, state_dim=4)
            moved.load_state_dict(block.state_dict())
            y = moved.to("cuda")(x.to("cuda"))
            y.sum().backward()
            assert backend_name("cuda") == "cuda (mamba-ssm 2.3.2.post1 kernel)"
        torch.testing.assert_close(y.cpu(), expected)
    assert mamba_ssm.dtypes == [torch.float32] * 2


def test_long_sequences_without_gradient_run_it_too(mamba_ssm, monkeypatch):
    """It takes no state between pieces: there are none."""
    monkeypatch.setattr(mamba, "GPU_BLOCK_STEPS", BLOCK_STEPS)
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "cuda")
    with gpu(), torch.no_grad():
        layer = MambaLayer(8, **LAYER).to("cuda")
        x = torch.randn(1, BLOCK_STEPS + 8, 8).to("cuda")
        run_layers([layer], x, torch.ones(x.shape[:2], dtype=torch.bool).to("cuda"), norm=torch.nn.Identity())
    assert len(mamba_ssm.dtypes) == 1


def test_half_precision_reaches_it_under_autocast(mamba_ssm):
    with gpu(), torch.autocast("cuda", torch.bfloat16):
        block = Mamba(8, state_dim=4).to("cuda")
        y = block(torch.randn(2, 9, 8).to("cuda"))
        y.float().sum().backward()
    assert mamba_ssm.dtypes == [torch.bfloat16]


def test_the_benchmark_times_what_the_model_runs(mamba_ssm):
    with gpu():
        inputs = [tensor.to("cuda") for tensor in benchmark.make_inputs(1, 5, "cpu")]
        benchmark.call(choose_backend("cuda"), inputs)
        Mamba(8, state_dim=4).to("cuda")(torch.randn(1, 5, 8).to("cuda"))
    assert len(mamba_ssm.dtypes) == 2


def test_a_state_of_its_own_is_more_than_it_takes(mamba_ssm, monkeypatch):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "cuda")
    inputs = {name: tensor.detach() for name, tensor in make_inputs(1, 4, 2, 2, torch.float32).items()}
    with gpu(), pytest.raises(BackendError, match="takes no initial state"):
        selective_scan(**{name: tensor.to("cuda") for name, tensor in inputs.items()})
    assert mamba_ssm.dtypes == []
