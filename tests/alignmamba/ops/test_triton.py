"""The Triton kernels: right in Triton's interpreter, and accepted by the compiler for a GPU that need not be there."""

import logging
import os
import subprocess
import sys
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from alignmamba.ops import selective_scan as scan
from alignmamba.ops import triton
from alignmamba.ops.interface import Inputs
from alignmamba.ops.selective_scan import BackendError, choose_backend
from tests.alignmamba.fake_cuda import GpuTensor, fake_cuda
from tests.alignmamba.ops.scans import NAMES, TOLERANCE, assert_close, double, make_inputs, run
from tests.paths import ROOT

# tests/requirements.txt brings triton on Linux; there are no wheels for other systems.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="triton runs on Linux only")

WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and a driver for it")
HERE = "tests.alignmamba.ops.test_triton"
SHAPES = ((1, 1, 1, 1), (2, 5, 3, 3), (1, 65, 5, 2), (1, 131, 2, 16))


def in_a_process(program, **environment):
    """Run a program; Triton decides between interpreter and compiler once, when it is first imported."""
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def compare(inputs, dtype, *, reverse):
    with pytest.MonkeyPatch.context() as monkeypatch:
        ours = run(monkeypatch, "triton", inputs, reverse=reverse)
        assert all(tensor.isfinite().all() for tensor in ours.values())
        assert_close(ours, run(monkeypatch, "reference", double(inputs), reverse=reverse), TOLERANCE[dtype])


def compare_shapes():
    for dtype, shape, reverse in product((torch.float64, torch.float32), SHAPES, (False, True)):
        compare(make_inputs(*shape, dtype), dtype, reverse=reverse)
        print("same")


def compare_decays():
    inputs = make_inputs(1, 33, 2, 2, torch.float32)
    inputs["A"] = torch.tensor([[-1e-3, -1.0], [-50.0, -1000.0]]).requires_grad_()
    inputs["dt"] = torch.linspace(0, 1, 66).view(1, 33, 2).requires_grad_()
    compare(inputs, torch.float32, reverse=False)
    print("same")


def test_agrees_with_the_reference():
    printed = in_a_process(f"from {HERE} import compare_shapes as run; run()", TRITON_INTERPRET="1")
    assert printed == ["same"] * 4 * len(SHAPES)


def test_decays_down_to_exp_minus_1000():
    assert in_a_process(f"from {HERE} import compare_decays as run; run()", TRITON_INTERPRET="1") == ["same"]


def compile_kernels(capability):
    """Compile both kernels, as the launches would, for a GPU of a compute capability; prints their names."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from alignmamba.ops import triton_kernels
    from alignmamba.ops.triton import _launch

    _, blocks = _launch(2, 256, 16)
    warps = blocks.pop("num_warps")
    for kernel in (triton_kernels.forward_kernel, triton_kernels.backward_kernel):
        for reverse in (False, True):
            constants = blocks | {"REVERSE": reverse} | ({"KEEP": True} if "KEEP" in kernel.arg_names else {})
            kinds = {
                name: "constexpr" if name in constants else "*fp32" if name.endswith("_ptr") else "i32"
                for name in kernel.arg_names
            }
            source, target = ASTSource(kernel, kinds, constants), GPUTarget("cuda", capability, 32)
            built = compile(source, target=target, options={"num_warps": warps})
            assert built.asm["cubin"]
            print(kernel.__name__)


@pytest.mark.parametrize("capability", [80, 90, 100], ids=["A100", "H100", "B200"])
def test_kernels_compile_ahead_of_time(tmp_path, capability):
    program = f"from {HERE} import compile_kernels as run; run({capability})"
    printed = in_a_process(program, TRITON_CACHE_DIR=str(tmp_path))
    assert printed == ["forward_kernel"] * 2 + ["backward_kernel"] * 2


@WITHOUT_GPU
def test_without_a_driver_the_torch_loop_takes_its_place(caplog):
    """No GPU here: Triton's driver cannot be loaded, whatever torch says."""
    for cached in (triton._no_driver, scan._choose):
        cached.cache_clear()
    inputs = {name: tensor.detach() for name, tensor in make_inputs(1, 5, 2, 2, torch.float32).items()}
    with fake_cuda(), caplog.at_level(logging.WARNING, logger="alignmamba.ops.triton"):
        assert choose_backend("cuda") == "torch"
        y, _ = scan.selective_scan(**{name: tensor.to("cuda") for name, tensor in inputs.items()})
    assert y.device.type == "cuda"
    (record,) = caplog.records
    assert "no Triton kernels on the GPU" in record.message and "needs gcc and Python's headers" in record.message


@WITHOUT_GPU
def test_forced_without_a_driver_it_is_an_error(monkeypatch):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "triton")
    with fake_cuda(), pytest.raises(BackendError, match="its driver cannot be built or loaded: "):
        choose_backend("cuda")


def test_launches_run_on_the_device_of_the_tensors(monkeypatch):
    """Triton takes the current device: it has to be the tensors' own, also where they lie on a second GPU."""
    current, launched = [0], []

    def exchange(index):
        before, current[0] = current[0], index
        return before

    class Recorded:
        def __getitem__(self, grid):
            return lambda *_, **__: launched.append(current[0])

    monkeypatch.setattr(torch.cuda, "_exchange_device", exchange)
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", exchange)
    monkeypatch.setattr(GpuTensor, "get_device", lambda _: 1)
    kernels = SimpleNamespace(forward_kernel=Recorded(), backward_kernel=Recorded())
    monkeypatch.setattr(triton, "_module", lambda: kernels)
    inputs = make_inputs(1, 5, 2, 2, torch.float32)
    with fake_cuda():
        y, _ = triton.scan(Inputs(*(inputs[name].to("cuda") for name in NAMES)), reverse=False)
        y.sum().backward()
    assert launched == [1, 1]
    assert current == [0]
