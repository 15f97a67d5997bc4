"""Result files: what was measured, on which machine, with which versions, from which commit."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
GPU_RESULTS, SPEECH_RESULTS = RESULTS / "gpu", RESULTS / "speech"
# What commands write and no code reads as a setting: it may differ from the commit while figures are being made.
MEASURED = (
    "calibration", "maps", "metrics", "predictions", "realclips", "recognised", "seeds", "unseen_people",
    "unseen_people_without_mmd", "emotions/emotions",
)  # fmt: skip
MADE = ("benchmarks/results", "training/results", *(f"checkpoints/*/{name}.json" for name in MEASURED))

# Packages whose version can move a measured number; those that are not installed are left out of the file.
PACKAGES = (
    "av", "ctranslate2", "faster-whisper", "mamba-ssm", "mambapy", "mediapipe", "numpy", "onnxruntime",
    "opencv-contrib-python", "opensmile", "pandas", "scikit-learn", "scipy", "streamlit", "torch", "transformers",
    "triton",
)  # fmt: skip


def write(
    name: str,
    command: str,
    rows: Sequence[Mapping[str, Any]],
    device: str | None = None,
    data_sha256: Mapping[str, str] | None = None,
    seeds: Sequence[int] | None = None,
    folder: Path | None = None,
) -> Path:
    """Write one result file; an older one of the same name is replaced in one step.

    Args:
        name: What was measured: the first part of the file's name ("scan").
        command: The command that made the numbers, as one would type it.
        rows: Measured rows; keys in snake_case with units.
        device: Suffix of the file's name and kind of the device that ran: "cpu", "cuda"; None leaves the suffix out
            (results that do not depend on the machine).
        data_sha256: Hash of each data file that went in, by name.
        seeds: Seeds the numbers were made with.
        folder: Where the file goes; made when missing. By default `RESULTS`, of a GPU's figures `GPU_RESULTS`.

    Returns:
        `<folder>/<name>-<device>.json`, or `<folder>/<name>.json` without a device.

    Raises:
        ValueError: If there is no row, or a number in a row is NaN or infinite.
    """
    if not rows:
        raise ValueError("rows: none given, expected at least one")
    if folder is None:
        folder = GPU_RESULTS if device == "cuda" else RESULTS
    result = {
        "name": name,
        "command": command,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device_name(device),
        "cpu_count": cpu_count(),
        "versions": versions(),
        "data_sha256": None if data_sha256 is None else dict(data_sha256),
        "seeds": None if seeds is None else list(seeds),
        "rows": [dict(row) for row in rows],
    }
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (f"{name}.json" if device is None else f"{name}-{device}.json")
    handle, draft = tempfile.mkstemp(dir=folder, prefix=f".{target.stem}-", suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).chmod(0o644)
        Path(draft).replace(target)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return target


def check_replaces(path: Path, *, data_sha256: Mapping[str, str]) -> None:
    """Check that a result file, if there is one, may be replaced: that it was made from the same data.

    Raises:
        ValueError: If it was made from other data, or is no result file of this version.
    """
    if not path.exists():
        return
    try:
        made_from = json.loads(path.read_text(encoding="utf-8"))["data_sha256"]
        hashes = sorted((made_from or {}).values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is no result file of this version ({error}); choose another folder") from error
    if hashes != sorted(data_sha256.values()):
        raise ValueError(f"{path}: was made from other data ({', '.join(made_from or {})}); choose another folder")


def commit() -> str | None:
    """The commit of the code, with "+changes" where tracked files but results differ from it; None outside git."""

    def git(*arguments: str) -> str:
        # Fixed arguments, no shell; git is looked up as everywhere.
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{made}" for made in MADE))
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def cpu_count() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: str | None = None) -> str:
    """The name of the chip that ran: the GPU's for "cuda", else the processor's and its vector instructions."""
    import torch

    if device is not None and device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1].strip() if found else name
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def versions() -> dict[str, str]:
    """Version of Python, of the system and of every package of `PACKAGES` that is installed."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
