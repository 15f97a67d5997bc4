"""Build the C++ kernels at first use, keep them per user, load them; give the reason where that fails.

The library's name is a hash of the sources, of the flags and of everything the compiler predefines for this machine
(its version and the instruction sets it may use), so another compiler, another CPU on a shared home folder or a
changed source each get a library of their own. A library appears under its name in one step, complete: processes
that build at once do not disturb each other. A folder that cannot be written, or that others may write, is replaced
by a private temporary one that lives as long as the loading takes.

`python -m alignmamba.ops.build` builds ahead instead, one library for each kind of CPU in `INSTRUCTIONS`, for a place
that has no compiler, another CPU than the builder's, and perhaps nothing that can be written: a container.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

CACHE_VARIABLE = "ALIGNMAMBA_CACHE"
SOURCES = tuple(Path(__file__).with_name("csrc") / name for name in ("selective_scan.cpp", "fused.cpp"))
HEADER = Path(__file__).with_name("csrc") / "simd.hpp"
COMPILE_TIMEOUT = 120.0  # seconds that somebody waits; a build takes about 4
AHEAD_TIMEOUT = 1800.0  # seconds: nobody waits, and an image may be built under emulation
COMPILERS = ("c++", "g++", "clang++")  # after $CXX, whose own arguments win over those below
NO_COMPILER = f"no C++ compiler found ({' or '.join(COMPILERS)} on PATH, or $CXX)"

_COMMON = ("-x", "c++", "-std=c++17", "-O3", "-ffp-contract=fast", "-fPIC")
# In order of speed. Old compilers know no -march=native on some machines, Apple's clang has no OpenMP.
_VARIANTS = (
    ("-march=native", "-fopenmp"),
    ("-march=native",),
    ("-fopenmp",),
    (),
)

INSTRUCTIONS = {
    "AVX512": ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma"),
    "AVX2": ("-mavx2", "-mfma"),
    "DEFAULT": (),
}
"""Torch's name of a kind of CPU -> flags for the instructions that torch has found on it; best first."""


class BuildError(Exception):
    """No compiler made a library that loads and computes right numbers."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A loaded library and where it is from, for display."""

    handle: ctypes.CDLL
    origin: str


def load_library(check: Callable[[ctypes.CDLL], None]) -> Library:
    """Load the library that was built ahead, or that of an earlier call, or build it first.

    Args:
        check: Raises (AttributeError, ArithmeticError) where a library is not what it should be.

    Returns:
        The first library that loads and passes the check: of those built ahead, then of those built here, in order of
        speed.

    Raises:
        BuildError: If there is none; the message has each compiler's own.
    """
    failures = {}
    for path, kind in _built_ahead():
        try:
            return Library(handle=_checked(path, check), origin=f"prebuilt for {kind}")
        except (OSError, AttributeError, ArithmeticError) as error:
            failures[path.name] = _reason(error)
    for compiler in _compilers():
        for flags in _VARIANTS:
            command = (compiler[0], *_COMMON, *flags, *compiler[1:])
            try:
                name = _library_name(command)
                with _private_folder() as folder:
                    handle = _load(folder / name, command, check)
            except (OSError, subprocess.SubprocessError, AttributeError, ArithmeticError) as error:
                failures[shlex.join(compiler)] = _reason(error)
            else:
                return Library(handle=handle, origin=f"built by {Path(compiler[0]).name}")
    raise BuildError("; ".join(f"{what}: {reason}" for what, reason in failures.items()) or NO_COMPILER)


def build_ahead() -> list[Path]:
    """Compile a library for each kind of CPU into the cache folder; what loads one checks it.

    Raises:
        BuildError: If there is no compiler, or none of them builds one of the libraries.
        OSError: If the folder cannot be written.
    """
    folder = _cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return [_built_for(kind, folder) for kind in (INSTRUCTIONS if _is_x86() else ("DEFAULT",))]


def instructions_here() -> list[str]:
    """Kinds of CPU whose libraries run on this one, best first."""
    kinds = list(INSTRUCTIONS)
    here = torch.backends.cpu.get_cpu_capability()
    return kinds[kinds.index(here) :] if here in kinds and _is_x86() else ["DEFAULT"]


def _is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def _built_for(kind: str, folder: Path) -> Path:
    failures = [NO_COMPILER]
    for compiler in _compilers():
        command = (compiler[0], *_COMMON, *INSTRUCTIONS[kind], "-fopenmp", *compiler[1:])
        try:
            with _draft(folder / _name_ahead(kind)) as draft:
                _compile(command, draft, timeout=AHEAD_TIMEOUT)
                draft.chmod(0o755)  # others may load it
        except (OSError, subprocess.SubprocessError) as error:
            failures.append(f"{shlex.join(compiler)}: {_reason(error)}")
        else:
            return folder / _name_ahead(kind)
    raise BuildError(f"{kind}: {'; '.join(failures[1:] or failures)}")


def _built_ahead() -> Iterator[tuple[Path, str]]:
    """Libraries for this CPU that only root or this user can have put into the cache folder, and their kinds."""
    folder = _cache_folder()
    for kind in instructions_here():
        path = folder / _name_ahead(kind)
        if _is_ours(folder) and _is_ours(path):
            yield path, kind


def _name_ahead(kind: str) -> str:
    return f"selective_scan-{_digest(kind.encode(), *map(str.encode, INSTRUCTIONS[kind]))}-{kind.lower()}.so"


def _compilers() -> list[tuple[str, ...]]:
    """Commands of the compilers on this machine: $CXX (which may carry arguments), then the usual names."""
    commands = [tuple(shlex.split(os.environ.get("CXX", ""))), *((name,) for name in COMPILERS)]
    found: dict[tuple[str, ...], tuple[str, ...]] = {}  # by resolved path: c++ is often a link to g++
    for command in commands:
        path = shutil.which(command[0]) if command else None
        if path is not None:
            found.setdefault((os.path.realpath(path), *command[1:]), (path, *command[1:]))
    return list(found.values())


def _library_name(command: tuple[str, ...]) -> str:
    predefined = _run((*command, "-dM", "-E", os.devnull))
    return f"selective_scan-{_digest(shlex.join(command).encode(), predefined)}.so"


def _digest(*parts: bytes) -> str:
    """Hash the sources, and what else a library is made from."""
    digest = hashlib.sha256()
    code = (path.read_bytes() for path in (*SOURCES, HEADER))
    for part in (*code, *parts):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:32]


def _load(target: Path, command: tuple[str, ...], check: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL:
    """Load the target if it is there and sound, else build it in its place."""
    if target.exists():
        with suppress(OSError, AttributeError, ArithmeticError):  # a damaged file is replaced below
            return _checked(target, check)
    with _draft(target) as draft:
        _compile(command, draft)
        return _checked(draft, check)


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Give a file that takes the target's place in one step if the block succeeds, and is removed otherwise."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".build-", suffix=".so")
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _compile(command: tuple[str, ...], draft: Path, *, timeout: float = COMPILE_TIMEOUT) -> None:
    _run((*command, "-shared", *map(str, SOURCES), "-o", str(draft)), timeout=timeout)


def _checked(path: Path, check: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    check(library)
    return library


def _run(command: tuple[str, ...], *, timeout: float = COMPILE_TIMEOUT) -> bytes:
    # The user's own compiler on the project's own source, no shell.
    return subprocess.run(command, capture_output=True, check=True, timeout=timeout).stdout  # noqa: S603


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Give a folder that only this user can write: the cache, or a temporary one."""
    folder = _cache_folder()
    if _is_private(folder):
        yield folder
    else:
        # Once loaded, the library no longer needs its file.
        with tempfile.TemporaryDirectory(prefix="alignmamba_ops-") as private:
            yield Path(private)


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE_VARIABLE) or Path(home) / "alignmamba") / "scan"


def _is_ours(path: Path) -> bool:
    """Whether only root or this user can have written a file or folder, which exists."""
    try:
        found = path.stat()
    except OSError:
        return False
    return not hasattr(os, "getuid") or (found.st_uid in (0, os.getuid()) and not found.st_mode & 0o022)


def _is_private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat()
    except OSError:
        return False
    mine = not hasattr(os, "getuid") or owner.st_uid == os.getuid()
    return mine and not owner.st_mode & 0o022 and os.access(folder, os.W_OK)


def _reason(error: Exception) -> str:
    """First informative line of an error."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return next((line for line in lines if "error" in line), lines[0] if lines else f"exit {error.returncode}")
    return str(error) or type(error).__name__


if __name__ == "__main__":
    print(*build_ahead(), sep="\n")
