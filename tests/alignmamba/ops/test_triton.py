"""The Triton kernels: right in Triton's interpreter, and accepted by the compiler for a GPU that need not be there."""

import importlib.util
import os
import subprocess
import sys
from itertools import product

import pytest
import torch

from tests.alignmamba.ops.scans import TOLERANCE, assert_close, double, make_inputs, run
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

HERE = "tests.alignmamba.ops.test_triton"
SHAPES = ((1, 1, 1, 1), (2, 5, 3, 3), (1, 33, 5, 2), (1, 65, 2, 16))


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


def test_kernels_compile_for_an_a100():
    program = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from alignmamba import scan_triton, scan_triton_kernels

_, blocks = scan_triton._launch(2, 256, 16)
warps = blocks.pop("num_warps")
for kernel in (scan_triton_kernels.forward_kernel, scan_triton_kernels.backward_kernel):
    constants = blocks | {"REVERSE": True} | ({"KEEP": True} if "KEEP" in kernel.arg_names else {})
    kinds = {
        name: "constexpr" if name in constants else "*fp32" if name.endswith("_ptr") else "i32"
        for name in kernel.arg_names
    }
    built = compile(ASTSource(kernel, kinds, constants), target=GPUTarget("cuda", 80, 32), options={"num_warps": warps})
    print(kernel.__name__, len(built.asm["cubin"]) > 0)
"""
    assert in_a_process(program) == ["forward_kernel", "True", "backward_kernel", "True"]
