"""Inputs for scans and what every test of them compares: outputs and all gradients."""

import pytest
import torch

from alignmamba.ops import cpu
from alignmamba.ops.selective_scan import selective_scan

NAMES = ("x", "dt", "A", "B", "C", "D", "state")

# Largest difference to the float64 reference, relative to the largest number of the reference.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}

cpp = pytest.param(
    "cpp",
    marks=pytest.mark.skipif(cpu.unavailable("cpu", torch.float32) is not None, reason="no C++ compiler here"),
)


def make_inputs(batch, length, dim, state, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    inputs = {
        "x": draw(batch, length, dim),
        "dt": draw(batch, length, dim).abs(),
        "A": -draw(dim, state).exp(),
        "B": draw(batch, length, state),
        "C": draw(batch, length, state),
        "D": draw(dim),
        "state": draw(batch, dim, state),
    }
    return {name: tensor.to(dtype).requires_grad_() for name, tensor in inputs.items()}


def run(monkeypatch, backend, inputs, *, reverse=False):
    """Outputs and gradients of a scan by one backend: {"y", "final", "x", ..., "state"}."""
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    y, final = selective_scan(**inputs, reverse=reverse)
    given = {name: tensor for name, tensor in inputs.items() if tensor.requires_grad}
    gradients = torch.autograd.grad(loss(y, final), list(given.values()))
    return {"y": y, "final": final, **dict(zip(given, gradients, strict=True))}


def loss(y, final):
    """A number that every output enters, with a weight of its own."""
    weights = torch.cos(torch.arange(y.numel(), dtype=torch.float64, device=y.device)).view_as(y)
    return (y.double() * weights).sum() + final.double().square().sum()


def double(inputs):
    return {name: tensor.detach().double().requires_grad_() for name, tensor in inputs.items()}


def assert_close(ours, reference, tolerance):
    for name, expected in reference.items():
        assert ours[name].shape == expected.shape, name
        difference = (ours[name].double() - expected.double()).abs().max()
        assert difference <= tolerance * expected.abs().max(), f"{name}: off by {difference}"
