"""Locks every package that the requirement files bring along: `make lock`, after a pin has changed.

Writes .ci/lock/app.txt (what the app needs), dev.txt (what tests and checks need beside it), cuda.txt (what torch with
CUDA needs beside them), gpu.txt (what the speech recogniser needs on a GPU) and uv.txt (an installer), for Linux, macOS
and Windows and every Python that is supported, with the hash of each file that an index may serve. Needs uv and the
index. Versions stay unless a pin asks for others.
`.ci/lock.py check FILE...` exits with 1 where the lock lacks a pin of a requirement file; it needs nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / ".ci" / "lock"
OLDEST_PYTHON = "3.11"
UV = "uv==0.13.9"
BLOCK = re.compile(r"^([A-Za-z0-9][\w.-]*)==([\w.+!]+).*(?:\n    --hash=.*)*", re.MULTILINE)
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([\w.+!]+)", re.MULTILINE)
INCLUDED = re.compile(r"^-r (.+)", re.MULTILINE)
# Brought by torch's CUDA build alone. Triton is too, but tests need it also without a GPU.
CUDA = re.compile(r"(nvidia|cuda)-|triton$")
HEADERS = {
    "app": "What requirements.txt brings along",
    "dev": "What tests/requirements.txt brings along beside app.txt",
    "cuda": "What torch's CUDA build brings along beside app.txt",
    "gpu": "What the speech recogniser needs on a GPU beside app.txt",
    "uv": "The installer that set-up brings where it needs it",
}


def pins(path: Path) -> dict[str, str]:
    """The versions that a requirement file pins, with those that it includes, by normalised name."""
    text = path.read_text(encoding="utf-8")
    found = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PIN.findall(text)}
    for other in INCLUDED.findall(text):
        found |= pins(path.parent / other.strip())
    return found


def stale(requirements: list[Path]) -> list[str]:
    """The pins of requirement files that the lock lacks, as `name==version`."""
    locked = {f"{found[1]}=={found[2]}" for path in LOCK.glob("*.txt") for found in BLOCK.finditer(path.read_text())}
    asked = {f"{name}=={version}" for path in requirements for name, version in pins(path).items()}
    return sorted(asked - locked)


def compiled(requirements: str, before: str, *, text: str | None = None) -> list[tuple[str, str]]:
    """Resolve requirements for all platforms; returns names and lines, of some packages one version per Python.

    Args:
        requirements: A file of the project, or "-" for `text`.
        before: An older lock, whose versions are kept where they fit.
        text: Requirements.
    """
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("uv was not found. Install it (pip install uv) and run make lock again.")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lock.txt"
        out.write_text(before)
        options = ["--universal", f"--python-version={OLDEST_PYTHON}", "--generate-hashes", "--no-header"]
        command = [uv, "pip", "compile", "--quiet", "--no-annotate", *options, "-o", str(out), requirements]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, input=text, text=True)  # noqa: S603
        return [(found[1], found[0]) for found in BLOCK.finditer(out.read_text())]


def write() -> None:
    """Write the files of the lock."""
    before = "".join(path.read_text() for path in sorted(LOCK.glob("*.txt")))
    everything = compiled("tests/requirements.txt", before)
    app = compiled("requirements.txt", "\n".join(block for _, block in everything))
    names = {name for name, _ in app}
    parts = {
        "app": [block for name, block in app if not CUDA.match(name)],
        "dev": [block for name, block in everything if name not in names or name == "triton"],
        "cuda": [block for name, block in app if CUDA.match(name)],
        "gpu": [block for _, block in compiled("extractors/assets/requirements.txt", before)],
        "uv": [block for _, block in compiled("-", before, text=UV)],
    }
    for part, packages in parts.items():
        header = f"# {HEADERS[part]}, with hashes. Written by make lock; not to be edited.\n"
        (LOCK / f"{part}.txt").write_text(header + "\n".join(packages) + "\n")
        print(f".ci/lock/{part}.txt: {len(packages)} packages")


def main() -> None:
    """Do what the command line asks for."""
    if sys.argv[1:2] != ["check"]:
        write()
    elif missing := stale([Path(name) for name in sys.argv[2:]]):
        sys.exit(f"The lock lacks {', '.join(missing)}: run make lock and commit .ci/lock/.")


if __name__ == "__main__":
    main()
