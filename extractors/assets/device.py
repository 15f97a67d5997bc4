"""The device that recogniser and text encoder run on: a GPU where there is one; `ALIGNMAMBA_DEVICE` overrides."""

from __future__ import annotations

import os
import re

DEVICE_VARIABLE = "ALIGNMAMBA_DEVICE"


def default_device(*, gpu: bool) -> str:
    """Return the device that is used where none is named: "cpu", "cuda", or "cuda:1" and so on.

    Args:
        gpu: Whether the library that asks sees a GPU.

    Raises:
        ValueError: If `ALIGNMAMBA_DEVICE` is none of these.

    >>> default_device(gpu=False)
    'cpu'
    """
    named = os.environ.get(DEVICE_VARIABLE)
    if not named:
        return "cuda" if gpu else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", named):
        raise ValueError(f"{DEVICE_VARIABLE}: {named!r}, expected cpu, cuda or cuda:0, cuda:1, ...")
    if named != "cpu" and not gpu:
        raise ValueError(f"{DEVICE_VARIABLE}: {named!r}, expected cpu: no GPU is there")
    return named


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch or CTranslate2 is about the memory of a GPU."""
    return "out of memory" in str(error).lower()
