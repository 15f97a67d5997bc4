"""A pretended GPU: tensors say that they are on "cuda", are computed on the CPU, and never mix with CPU tensors.

torch's FakeTensorMode has no values, so that it refuses `bool(mask.all())`, and in a CPU build of torch it aborts at
the first backward. These tensors have values: whole forward and backward passes run with the control flow of a real
GPU, and their results can be compared with the CPU's. What mixes devices raises, as CUDA's own operators do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA = torch.device("cuda", 0)
# torch keeps these tensors as meta tensors: autograd in a CPU build knows no streams of a GPU.
_META = torch.device("meta")
_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_WITH_CPU_INDICES = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
    torch.ops.aten._pack_padded_sequence.default,
)
# Operators that CUDA's autocast runs in half and in single precision (torch.amp's documentation), as far as used here.
_IN_HALF = {"linear", "matmul", "__matmul__", "mm", "bmm", "addmm", "baddbmm", "conv1d", "scaled_dot_product_attention"}
_IN_SINGLE = {"layer_norm", "softplus", "exp", "log", "softmax", "log_softmax", "cross_entropy", "l1_loss", "mse_loss"}
_IN_SINGLE |= {"smooth_l1_loss", "sum", "cumsum", "norm", "pow", "prod"}
_IN_WIDEST = {"cat", "stack", "addcmul", "scatter_add"}


class GpuTensor(Tensor):
    """A tensor on the pretended GPU; `values` lie on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> GpuTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=_META,
        )
        made.values = values
        return made

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    def get_device(self) -> int:
        return CUDA.index

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def data_ptr(self) -> int:
        return self.values.data_ptr()  # safetensors asks whether tensors share memory

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> GpuTensor:
        copied = GpuTensor(self.values.clone()).requires_grad_(self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __repr__(self, **_: Any) -> str:
        return f"GpuTensor({self.values})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    here = any(isinstance(tensor, GpuTensor) for tensor in tensors)
    if func is torch.ops.aten._has_compatible_shallow_copy_type.default:  # asked where a module is moved
        return False
    if here and func not in _MOVES:
        # CUDA takes indices, and the lengths of packed sequences, from the CPU.
        mixing = tree_leaves(args[0]) if func in _WITH_CPU_INDICES else tensors
        assert not any(type(tensor) is Tensor and tensor.is_meta for tensor in tensors), (
            f"{func}: an index of no values"
        )
        for tensor in mixing:
            if (
                isinstance(tensor, Tensor) and not isinstance(tensor, GpuTensor) and tensor.ndim
            ):  # single numbers of the CPU may enter, as in CUDA
                raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu in {func}")
    target = kwargs.get("device")
    there = here if target is None else torch.device(target) == _META
    plain = tree_map_only(GpuTensor, lambda tensor: tensor.values, (args, kwargs))
    if target is not None:
        plain[1]["device"] = torch.device("cpu")
    out = func(*plain[0], **plain[1])
    if not there:
        return out
    if func is torch.ops.aten.copy_.default:
        return args[0]
    if func is torch.ops.aten._pack_padded_sequence.default:  # batch sizes stay on the CPU
        return GpuTensor(out[0]), out[1]
    out = tree_map_only(Tensor, GpuTensor, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if here else out


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Takes "cuda" where a device is asked for, and casts as CUDA's autocast does, which passes meta tensors by."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.device or "autocast" in func.__name__:
            return func(*args, **kwargs)
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return func(*args, **{**kwargs, "device": None}).to(_renamed(kwargs["device"]))
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], tuple):
            # torch would make an index without values of a list.
            index = tuple(torch.tensor(part) if isinstance(part, list) else part for part in args[1])
            args = (args[0], index, *args[2:])
        if torch.is_autocast_enabled("cuda") and kwargs.get("out") is None:
            args, kwargs = _autocast(func.__name__, args, kwargs)
        return func(*map(_renamed, args), **{key: _renamed(value) for key, value in kwargs.items()})


def _autocast(name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    found = [leaf.dtype for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, GpuTensor)]
    kinds = [dtype for dtype in found if dtype.is_floating_point and dtype != torch.float64]
    if name in _IN_HALF:
        wanted = torch.get_autocast_dtype("cuda")
    elif name in _IN_SINGLE or (name in _IN_WIDEST and torch.float32 in kinds):
        wanted = torch.float32
    else:
        return args, kwargs
    return tree_map_only(GpuTensor, lambda each: each.to(wanted) if each.dtype in kinds else each, (args, kwargs))


def _renamed(value: Any) -> Any:
    if isinstance(value, torch.device) or (isinstance(value, str) and value.split(":")[0] == "cuda"):
        return _META if torch.device(value).type == "cuda" else value
    return value


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Within, torch has one GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        # Adam asks it for the stream, which a CUDA build of torch would look for at the driver.
        patch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
        patch.setattr(torch.backends.cudnn, "is_acceptable", lambda _: False)
        with _Dispatch(), _Functions():
            yield


@contextmanager
def gpu() -> Iterator[None]:
    """Within, torch has a GPU: this machine's where there is one, else the pretended one."""
    if torch.cuda.is_available():
        yield
    else:
        with fake_cuda():
            yield
