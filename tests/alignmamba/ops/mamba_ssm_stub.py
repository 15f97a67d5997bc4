"""mamba-ssm's scan without a GPU: checks what its kernel checks, computes with the reference.

The checks are those of mamba-ssm 2.3.2's `selective_scan_fn` and of the extension that it calls: dtypes, devices,
strides and shapes; a call that passes here is a call that the kernel takes.
"""

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from alignmamba.ops import cuda, reference
from alignmamba.ops import selective_scan as scan
from alignmamba.ops.interface import Inputs

VERSION = "2.3.2.post1"
MAX_STATES = 256


class Stub:
    """Counts the calls and their dtypes."""

    def __init__(self, *, device="cuda"):
        self.device, self.dtypes = device, []

    def selective_scan_fn(
        self, u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False
    ):
        assert z is None and delta_bias is None and not delta_softplus and return_last_state
        batch, dim, length = u.shape
        states = A.shape[1]
        assert u.dtype in (torch.float32, torch.float16, torch.bfloat16)
        assert A.dtype == D.dtype == torch.float32
        assert delta.dtype == B.dtype == C.dtype == u.dtype
        assert delta.shape == u.shape and A.shape == (dim, states) and D.shape == (dim,)
        assert B.shape == C.shape == (batch, states, length) and states <= MAX_STATES
        for tensor in (u, delta, A, B, C, D):
            assert tensor.device.type == self.device
        for tensor in (u, delta, B, C, D):
            assert tensor.stride(-1) == 1 or tensor.shape[-1] == 1
        assert not torch.is_autocast_enabled(u.device.type)
        self.dtypes.append(u.dtype)
        sequences = [tensor.transpose(1, 2).float() for tensor in (u, delta, B, C)]
        x, dt, b, c = sequences
        y, final = reference.scan(Inputs(x, dt, A, b, c, D, A.new_zeros(batch, dim, states)), reverse=False)
        return y.transpose(1, 2).to(u.dtype), _without_gradient(final)


def _without_gradient(final: Tensor) -> Tensor:
    return final.detach()


@pytest.fixture
def mamba_ssm(request, monkeypatch):
    """The package as if it were installed; give the fixture "cpu" as its parameter to run it on CPU tensors."""
    stub = Stub(device=getattr(request, "param", "cuda"))
    interface = ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = stub.selective_scan_fn
    for name in ("selective_scan_cuda", "mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    monkeypatch.setattr(cuda.metadata, "version", {"mamba-ssm": VERSION}.__getitem__)
    for cached in (cuda._missing, scan._choose, scan._log_once):
        cached.cache_clear()
    yield stub
    for cached in (cuda._missing, scan._choose, scan._log_once):
        cached.cache_clear()
