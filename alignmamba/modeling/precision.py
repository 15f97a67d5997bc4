"""Single precision inside mixed precision, for what rounding to half precision would decide."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

_P = ParamSpec("_P")
_R = TypeVar("_R")


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32, or as it is in float64; what is no floating-point tensor comes back unchanged."""
    if not tensor.is_floating_point() or tensor.dtype == torch.float64:
        return tensor
    return tensor.float()


def in_float32(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function of tensors so that it computes in float32 (float64 stays) whatever autocast surrounds it.

    >>> @in_float32
    ... def product(x: Tensor, y: Tensor) -> Tensor:
    ...     return x @ y
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     product(torch.ones(2, 2, dtype=torch.bfloat16), torch.ones(2, 2)).dtype
    torch.float32
    """

    @functools.wraps(function)
    def full(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        given = {name: _full(value) for name, value in kwargs.items()}
        first = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        with torch.autocast(first.device.type, enabled=False):
            return cast(Callable[..., _R], function)(*map(_full, args), **given)

    return full


def _full(value: Any) -> Any:
    return at_least_float32(value) if isinstance(value, Tensor) else value
