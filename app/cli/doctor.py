"""`alignmamba doctor`: what is installed, which device and kernel are used, and what to do about what is missing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from app.cli import machine
from app.cli.machine import Finding
from extractors.assets.device import load_cublas
from extractors.assets.files import cache_folder
from extractors.assets.registry import ASSETS, AssetError, missing_files

PACKAGE = "alignmamba"
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
# Named first, as most questions are about them; all others are looked at too.
SHOWN = ("torch", "streamlit", "av", "ctranslate2", "faster-whisper", "mediapipe", "opensmile", "transformers")
NETWORK_SECONDS = 60
SIGNS = {"good": "ok  ", "note": "note", "stop": "stop"}


def main() -> int:
    """Print what was found.

    Returns:
        1 where something does not work, else 0.
    """
    worst = 0
    for finding in findings():
        print(f"{SIGNS[finding.level]}  {finding.topic:<16}  {finding.sentence}", flush=True)
        worst |= finding.level == "stop"
    return int(worst)


def findings() -> Iterator[Finding]:
    """Look at everything, the quick things first."""
    yield Finding(topic=PACKAGE, level="good", sentence=version())
    yield machine.python()
    yield machine.disk(cache_folder())
    yield machine.compiler()
    found = list(packages())
    yield from found
    if any(finding.level == "stop" for finding in found):
        return  # what follows needs them
    yield from graphics()
    yield scan()
    yield from model_files()
    yield checkpoint()


def packages() -> Iterator[Finding]:
    """Look at the versions of what the package needs."""
    for name in SHOWN:
        yield Finding(topic=name, level="good", sentence=_version(name) or "not installed")
    broken = unmet(requirements())
    if wrong := [f"{name} {_version(name) or 'not installed'} (expected {wanted})" for name, wanted in broken]:
        sentence = f"{', '.join(wrong)}: install them again (make fetch, or pip install --upgrade {PACKAGE})."
        yield Finding(topic="packages", level="stop", sentence=sentence)


def unmet(requirements: Sequence[str]) -> list[tuple[str, str]]:
    """List the packages that are missing or out of range, with the range.

    Args:
        requirements: As in a package's metadata.
    """
    wanted = [Requirement(line) for line in requirements]
    due = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    found = [(each, _version(each.name)) for each in due]
    return [
        (each.name, str(each.specifier))
        for each, version in found
        if version is None or not each.specifier.contains(version, prereleases=True)
    ]


def version() -> str:
    """Return the package's version."""
    return str(_project()["version"]) if PROJECT.is_file() else metadata.version(PACKAGE)


def requirements() -> list[str]:
    """Return what the package needs, as it says itself."""
    return list(_project()["dependencies"]) if PROJECT.is_file() else metadata.requires(PACKAGE) or []


def _project() -> dict[str, Any]:
    """Return what a checkout says of itself; an installed package has metadata instead."""
    project: dict[str, Any] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    return project


def graphics() -> list[Finding]:
    """Look at the GPUs of the driver and at what torch makes of them."""
    from alignmamba.ops.device import cuda_version, named_gpus

    driven, built = machine.gpus(), cuda_version()
    cuda = machine.CUDA if built is None else int(built.partition(".")[0])
    found = machine.graphics(driven, cuda if cuda in machine.OLDEST_DRIVER else machine.CUDA)
    if machine.drives(driven) and built is None:
        sentence = "This torch is built for the CPU alone, so the GPU is not used: install PyTorch's CUDA build."
        found.append(Finding(topic="GPU", level="note", sentence=sentence))
    elif machine.drives(driven) and not named_gpus():
        sentence = "torch does not see the GPU that the driver names: look at CUDA_VISIBLE_DEVICES, and start anew."
        found.append(Finding(topic="GPU", level="note", sentence=sentence))
    elif machine.drives(driven):
        try:
            load_cublas()
        except RuntimeError as error:
            sentence = f"The speech recogniser runs on the CPU: {error}, then start anew."
            found.append(Finding(topic="GPU", level="note", sentence=sentence))
    return found


def scan() -> Finding:
    """Look at the device that is used and the kernel of the scan there."""
    from alignmamba.ops.device import default_device
    from alignmamba.ops.selective_scan import backend_name

    try:
        device = default_device()
        return Finding(topic="device, kernel", level="good", sentence=f"{device}, {backend_name(device)}")
    except ValueError as error:
        return Finding(topic="device, kernel", level="stop", sentence=f"{error}: unset or change the variable.")


def model_files() -> Iterator[Finding]:
    """Look at the model files; ask for the package index only where one is missing."""
    absent: list[str] = []
    for name, asset in ASSETS.items():
        try:
            files = missing_files(name)
        except AssetError as error:
            yield Finding(topic=asset.title, level="stop", sentence=str(error))
            continue
        if files:
            names = ", ".join(file.name for file in files)
            sentence = f"{names}: not there yet; run: {PACKAGE} models (in a checkout: make fetch)"
            yield Finding(topic=asset.title, level="note", sentence=sentence)
            absent += [wheel for file in files for wheel, _ in file.members]
        else:
            yield Finding(topic=asset.title, level="good", sentence="there, with the right SHA-256")
    if absent:
        yield network(absent[0])


def network(wheel: str) -> Finding:
    """Ask pip whether its index knows a wheel (`name==version`)."""
    name = wheel.partition("==")[0]
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", "--retries=0", name]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=NETWORK_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Finding(topic="network", level="stop", sentence=machine.explain("timed out") or "")
    if asked.returncode == 0:
        return Finding(topic="network", level="good", sentence="the package index answers")
    said = asked.stdout + asked.stderr
    sentence = machine.explain(said) or f"pip failed: {(said.splitlines() or ['no reason given'])[-1]}"
    return Finding(topic="network", level="stop", sentence=sentence)


def checkpoint() -> Finding:
    """Look at the weights that the app loads."""
    from app.services import model

    try:
        predictor = model.default()
    except ValueError as error:
        return Finding(topic="checkpoint", level="stop", sentence=str(error))
    calibrated = "calibrated" if predictor.calibrated else "not calibrated"
    return Finding(topic="checkpoint", level="good", sentence=f"{model.CHECKPOINT.name}, {calibrated}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
