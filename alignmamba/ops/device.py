"""The device that models run on: a GPU where torch sees one, else the CPU; `ALIGNMAMBA_DEVICE` overrides."""

from __future__ import annotations

import os

import torch

DEVICE_VARIABLE = "ALIGNMAMBA_DEVICE"


def default_device() -> torch.device:
    """The device that is used where none is named.

    Raises:
        ValueError: If `ALIGNMAMBA_DEVICE` names no device of torch, or a GPU that is not there.

    >>> os.environ[DEVICE_VARIABLE] = "cpu"
    >>> default_device()
    device(type='cpu')
    >>> del os.environ[DEVICE_VARIABLE]
    """
    named = os.environ.get(DEVICE_VARIABLE)
    if not named:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(named)
    except RuntimeError:
        raise ValueError(f"{DEVICE_VARIABLE}: {named!r}, expected cpu, cuda or cuda:0, cuda:1, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"{DEVICE_VARIABLE}: {named!r}, expected cpu, cuda or cuda:0, cuda:1, ...")
    if device.type == "cuda" and (device.index or 0) >= (found := torch.cuda.device_count()):
        raise ValueError(f"{DEVICE_VARIABLE}: {named!r}, expected one of the {found} GPUs that torch sees, or cpu")
    return device


def named_gpus() -> list[str]:
    """The names of the GPUs that torch sees, in its order."""
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def cuda_version() -> str | None:
    """The CUDA version that torch was built for, as in "13.0"; None for a build for the CPU alone."""
    return torch.version.cuda
