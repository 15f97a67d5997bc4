"""What a machine lacks, one sentence each; the standard library suffices, so that set-up can ask before it installs.

`python -m app.cli.machine before FOLDER` prints what set-up should know first and exits with 1 where it cannot go on;
`... explain FILE` reads what an installer printed and says in a sentence why it failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from extractors.assets.installers import explain

Level = Literal["good", "note", "stop"]

PYTHONS = ((3, 11), (3, 12), (3, 13))
COMPILERS = ("c++", "g++", "clang++")  # as alignmamba.ops.build looks for them, after $CXX
NEEDED_BYTES = {"cpu": 4_000_000_000, "cuda": 10_500_000_000}  # of a set-up, its downloads included
ROOM_BYTES = 1_000_000_000  # at work: model files, compiled kernels, clips
# Oldest NVIDIA driver on Linux per CUDA version (NVIDIA's release notes, minor version compatibility).
OLDEST_DRIVER = {12: 525, 13: 580}
CUDA = 13  # of the torch that requirements.txt pins
QUERY_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: What.
        level: "good", "note" (it works, less well) or "stop" (it does not work).
        sentence: What was found and, unless it is good, what to do.
    """

    topic: str
    level: Level
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU as `nvidia-smi` names it; `driver` as in "580.65.06"."""

    name: str
    driver: str


def python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Look at the running Python's version."""
    found, expected = ".".join(map(str, version)), "3.11, 3.12 or 3.13"
    if version in PYTHONS:
        return Finding(topic="Python", level="good", sentence=found)
    return Finding(
        topic="Python",
        level="stop",
        sentence=f"Python {found} is not supported, expected {expected}: install one of them, or uv, which brings it.",
    )


def compiler() -> Finding:
    """Look for a C++ compiler."""
    named = os.environ.get("CXX", "").split()[:1]
    for name in (*named, *COMPILERS):
        if path := shutil.which(name):
            return Finding(topic="compiler", level="good", sentence=path)
    how = {
        "darwin": "run xcode-select --install",
        "win32": "install LLVM's clang++ and put it on PATH",
    }.get(sys.platform, "install g++ (Debian, Ubuntu: apt-get install g++) or clang++")
    return Finding(
        topic="compiler",
        level="note",
        sentence=f"There is no C++ compiler, so the plain torch scan is used, which is several times slower: {how}.",
    )


def disk(folder: Path, needed: int = ROOM_BYTES) -> Finding:
    """Look at the room on the disk of a folder, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return Finding(topic="disk", level="good", sentence=f"{free / 1e9:.1f} GB free at {folder}")
    sentence = f"The disk at {folder} has {free / 1e9:.1f} GB left, expected {needed / 1e9:.1f} GB: make room there."
    return Finding(topic="disk", level="stop", sentence=sentence)


def gpus() -> list[Gpu]:
    """List the NVIDIA GPUs that the driver knows; empty without a driver that works."""
    if (program := shutil.which("nvidia-smi")) is None:
        return []
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    cells = [[cell.strip() for cell in line.split(",")] for line in lines.splitlines()]
    return [Gpu(name=line[0], driver=line[1]) for line in cells if len(line) == 2]


def drives(found: Sequence[Gpu], cuda: int = CUDA) -> bool:
    """Whether there are GPUs whose driver is new enough for a CUDA version."""
    return bool(found) and all(_major(gpu.driver) >= OLDEST_DRIVER[cuda] for gpu in found)


def graphics(found: Sequence[Gpu], cuda: int = CUDA) -> list[Finding]:
    """Look at the GPUs: driver, and whether they are of one kind."""
    if not found:
        return [Finding(topic="GPU", level="good", sentence="none; the CPU is used")]
    if not drives(found, cuda):
        sentence = (
            f"The NVIDIA driver {found[0].driver} is too old for CUDA {cuda}, so the CPU is used: "
            f"install driver {OLDEST_DRIVER[cuda]} or newer."
        )
        return [Finding(topic="GPU", level="note", sentence=sentence)]
    named = Finding(topic="GPU", level="good", sentence=f"{found[0].name}, driver {found[0].driver}")
    kinds = list(dict.fromkeys(gpu.name for gpu in found))
    if len(kinds) == 1:
        return [named]
    sentence = (
        f"There are GPUs of different kinds ({' and '.join(kinds)}), of which cuda:0 is used, the one that CUDA takes "
        "for the fastest: set ALIGNMAMBA_DEVICE=cuda:1 for the next."
    )
    return [named, Finding(topic="GPU", level="note", sentence=sentence)]


def _major(version: str) -> int:
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else 0


def before(folder: Path) -> list[Finding]:
    """Look at what a set-up in a folder needs."""
    found = gpus()
    needed = NEEDED_BYTES["cuda" if drives(found) else "cpu"]
    return [python(), disk(folder, needed), compiler(), *graphics(found)]


def main(given: Sequence[str]) -> int:
    """Print what set-up asks for."""
    match given:
        case ["before", folder]:
            findings = before(Path(folder))
            for finding in findings:
                if finding.level != "good":
                    print(finding.sentence)
            return int(any(finding.level == "stop" for finding in findings))
        case ["gpu"]:
            return int(not drives(gpus()))
        case ["explain", file]:
            print(explain(Path(file).read_text(errors="replace")) or "See the lines above.")
            return 0
    print(f"{list(given)}: expected before FOLDER, gpu, or explain FILE", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
