"""The device that recogniser and text encoder run on: a GPU where there is one; `ALIGNMAMBA_DEVICE` overrides."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from importlib import metadata

DEVICE_VARIABLE = "ALIGNMAMBA_DEVICE"
CUBLAS = "nvidia-cublas-cu12"  # the package
_LIBRARIES = ("libcublasLt.so.12", "libcublas.so.12")  # the second one needs the first


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


def load_cublas() -> None:
    """Load cuBLAS of CUDA 12, which CTranslate2 looks for by name, from its package or from where the system looks.

    torch brings cuBLAS of CUDA 13, and CTranslate2 would not find that of the package by itself.

    Raises:
        RuntimeError: If it cannot be loaded on Linux; elsewhere CTranslate2 looks for itself.
    """
    if sys.platform != "linux":
        return
    try:
        folder = f"{metadata.distribution(CUBLAS).locate_file('nvidia/cublas/lib')}/"
    except metadata.PackageNotFoundError:
        folder = ""
    try:
        for name in _LIBRARIES:
            ctypes.CDLL(f"{folder}{name}", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise RuntimeError(f"cuBLAS of CUDA 12 cannot be loaded ({error}); install it: pip install {CUBLAS}") from error
