"""Build the C++ kernels at first use, keep it per user, load it; give the reason where that fails.

The library's name is a hash of the sources, of the flags and of everything the compiler predefines for this machine
(its version and the instruction sets it may use), so another compiler, another CPU on a shared home folder or a
changed source each get a library of their own. A library appears under its name in one step, complete: processes
that build at once do not disturb each other. A folder that cannot be written, or that others may write, is replaced
by a private temporary one that lives as long as the loading takes.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CACHE_VARIABLE = "ALIGNMAMBA_CACHE"
SOURCES = tuple(Path(__file__).with_name("csrc") / name for name in ("selective_scan.cpp", "fused.cpp"))
HEADER = Path(__file__).with_name("csrc") / "simd.hpp"
COMPILE_TIMEOUT = 120  # seconds; a build takes about 4
COMPILERS = ("c++", "g++", "clang++")  # after $CXX, whose own arguments win over those below

_COMMON = ("-x", "c++", "-std=c++17", "-O3", "-ffp-contract=fast", "-fPIC")
# In order of speed. Old compilers know no -march=native on some machines, Apple's clang has no OpenMP.
_VARIANTS = (
    ("-march=native", "-fopenmp"),
    ("-march=native",),
    ("-fopenmp",),
    (),
)


class BuildError(Exception):
    """No compiler made a library that loads and computes right numbers."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A loaded library and what made it, for display."""

    handle: ctypes.CDLL
    compiler: str
    flags: tuple[str, ...]


def load_library(check: Callable[[ctypes.CDLL], None]) -> Library:
    """Load the library from the cache, or build it first.

    Args:
        check: Raises (AttributeError, ArithmeticError) where a library is not what it should be.

    Returns:
        The first library, in order of speed, that builds, loads and passes the check.

    Raises:
        BuildError: If there is none; the message has each compiler's own.
    """
    failures = {}
    for compiler in _compilers():
        for flags in _VARIANTS:
            command = (compiler[0], *_COMMON, *flags, *compiler[1:])
            try:
                name = _library_name(command)
                with _private_folder() as folder:
                    handle = _load(folder / name, command, check)
            except (OSError, subprocess.SubprocessError, AttributeError, ArithmeticError) as error:
                failures[compiler] = f"{shlex.join(compiler)}: {_reason(error)}"
            else:
                return Library(handle=handle, compiler=compiler[0], flags=flags)
    tried = " or ".join(COMPILERS)
    raise BuildError("; ".join(failures.values()) or f"no C++ compiler found ({tried} on PATH, or $CXX)")


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
    digest = hashlib.sha256()
    code = (path.read_bytes() for path in (*SOURCES, HEADER))
    for part in (*code, shlex.join(command).encode(), predefined):
        digest.update(hashlib.sha256(part).digest())
    return f"selective_scan-{digest.hexdigest()[:32]}.so"


def _load(target: Path, command: tuple[str, ...], check: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL:
    """Load the target if it is there and sound, else build it in its place."""
    if target.exists():
        with suppress(OSError, AttributeError, ArithmeticError):  # a damaged file is replaced below
            return _checked(target, check)
    handle, draft = tempfile.mkstemp(dir=target.parent, prefix=".build-", suffix=".so")
    os.close(handle)
    try:
        _run((*command, "-shared", *map(str, SOURCES), "-o", draft))
        library = _checked(Path(draft), check)
        Path(draft).replace(target)
    finally:
        Path(draft).unlink(missing_ok=True)
    return library


def _checked(path: Path, check: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    check(library)
    return library


def _run(command: tuple[str, ...]) -> bytes:
    # The user's own compiler on the project's own source, no shell.
    return subprocess.run(command, capture_output=True, check=True, timeout=COMPILE_TIMEOUT).stdout  # noqa: S603


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Give a folder that only this user can write: the cache, or a temporary one."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path(home) / "alignmamba") / "scan"
    if _is_private(folder):
        yield folder
    else:
        # Once loaded, the library no longer needs its file.
        with tempfile.TemporaryDirectory(prefix="alignmamba_ops-") as private:
            yield Path(private)


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
