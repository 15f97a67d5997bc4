"""Whatever the machine does to the build of the C++ scan, the numbers are right and the backend is reported."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from alignmamba.ops import cpu, selective_scan
from alignmamba.ops.selective_scan import BackendError, backend_name, choose_backend
from tests.alignmamba.ops.scans import TOLERANCE, assert_close, cpp, double, make_inputs, run
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="compilers here are shell scripts")
needs_compiler = cpp.marks[0]
QUICK = "c++ -O0"  # builds in a third of the time


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a process that has not built anything yet."""
    monkeypatch.setenv("ALIGNMAMBA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ALIGNMAMBA_SCAN", raising=False)
    monkeypatch.setenv("CXX", QUICK)
    forget()
    yield tmp_path / "cache" / "scan"
    forget()


def forget():
    cpu._library.cache_clear()
    selective_scan._choose.cache_clear()
    selective_scan._log_once.cache_clear()


def compiler(folder, monkeypatch, body):
    """Make a shell script the only compiler on PATH."""
    script = folder / "bin" / "c++"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    monkeypatch.delenv("CXX")


def assert_right(monkeypatch, backend):
    inputs = make_inputs(2, 40, 19, 5, torch.float32)
    expected = run(monkeypatch, "reference", double(inputs))
    assert_close(run(monkeypatch, backend, inputs), expected, TOLERANCE[torch.float32])


def assert_falls_back(monkeypatch, caplog, reason):
    with caplog.at_level(logging.WARNING, logger="alignmamba"):
        assert choose_backend("cpu") == choose_backend("cpu", torch.float64) == "torch"
    (record,) = caplog.records
    assert "the torch loop (several times slower) takes its place" in record.message
    assert reason in record.message
    assert backend_name("cpu").startswith("torch (")
    assert_right(monkeypatch, "torch")
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "cpp")
    with pytest.raises(BackendError, match=r"'cpp' cannot run on cpu in torch.float32: cpp: "):
        choose_backend("cpu")


def test_no_compiler(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_falls_back(monkeypatch, caplog, "no C++ compiler found")


def test_broken_compiler(tmp_path, monkeypatch, caplog):
    compiler(tmp_path, monkeypatch, "echo 'c++: internal error: no licence' >&2; exit 1")
    assert_falls_back(monkeypatch, caplog, "internal error: no licence")


def test_compiler_that_writes_garbage(tmp_path, monkeypatch, caplog, cache):
    compiler(tmp_path, monkeypatch, 'while [ $# -gt 1 ]; do [ "$1" = -o ] && echo garbage > "$2"; shift; done')
    assert_falls_back(monkeypatch, caplog, ".build-")
    assert list(cache.iterdir()) == []


@needs_compiler
def test_library_that_computes_wrong_numbers(tmp_path, monkeypatch, caplog, cache):
    lazy = tmp_path / "lazy.c"
    names = [f"selective_scan_{direction}_{kind}" for direction in ("forward", "backward") for kind in scan_kinds()]
    constants = [f"selective_scan_{name}" for name in ("chunk", "vector_bytes", "openmp")]
    lazy.write_text(
        "".join(f"void {name}(const void *a) {{ (void)a; }}\n" for name in names)
        + "".join(f"long long {name}(void) {{ return 32; }}\n" for name in constants)
    )
    real = subprocess.run(["which", "c++"], capture_output=True, text=True, check=True).stdout.strip()
    path = os.environ["PATH"]
    build = f'PATH={path}\nwhile [ $# -gt 1 ]; do [ "$1" = -o ] && out="$2"; shift; done\n'
    build += f'[ -z "$out" ] || {real} -x c -shared -fPIC {lazy} -o "$out"'
    compiler(tmp_path, monkeypatch, build)
    assert_falls_back(monkeypatch, caplog, "the library computes wrong numbers")
    assert list(cache.iterdir()) == []


def scan_kinds():
    return cpu._DTYPES.values()


@needs_compiler
def test_built_once_and_again_where_damaged(tmp_path, monkeypatch, cache):
    assert choose_backend("cpu") == "cpp"
    (library,) = cache.iterdir()
    first = library.stat()
    forget()
    assert choose_backend("cpu") == "cpp"
    assert library.stat().st_ino == first.st_ino

    # In another folder: a process that has loaded a file does not look at it again.
    monkeypatch.setenv("ALIGNMAMBA_CACHE", str(tmp_path / "damaged"))
    damaged = tmp_path / "damaged" / "scan" / library.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"garbage")
    forget()
    assert_right(monkeypatch, "cpp")
    assert list(damaged.parent.iterdir()) == [damaged]
    assert damaged.read_bytes() != b"garbage"


@needs_compiler
@pytest.mark.parametrize("fault", ("a file in its place", "writable by others"))
def test_unusable_cache_folder(tmp_path, monkeypatch, cache, fault):
    if fault == "a file in its place":  # stands for a read-only disk, which the superuser's tests could write
        cache.parent.write_text("")
    else:
        cache.mkdir(parents=True)
        cache.chmod(0o777)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert choose_backend("cpu") == "cpp"
    assert_right(monkeypatch, "cpp")
    assert list(temporary.iterdir()) == []
    assert not cache.is_dir() or list(cache.iterdir()) == []


@needs_compiler
@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="the superuser writes into read-only folders")
def test_read_only_cache_folder(monkeypatch, cache):
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    assert choose_backend("cpu") == "cpp"
    assert_right(monkeypatch, "cpp")
    assert list(cache.iterdir()) == []


@needs_compiler
def test_two_processes_build_at_once(monkeypatch, cache):
    program = (
        "from alignmamba.ops.build import load_library\n"
        "print(load_library(lambda library: None).handle.selective_scan_vector_bytes())"
    )
    command = [sys.executable, "-c", program]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=120)[0].strip() for process in started]
    (library,) = cache.iterdir()
    built = library.stat()
    assert f"{8 * int(printed[0])}-bit vectors" in backend_name("cpu")
    assert printed[0] == printed[1]
    assert_right(monkeypatch, "cpp")
    assert [path.stat().st_ino for path in cache.iterdir()] == [built.st_ino]


@needs_compiler
@pytest.mark.parametrize(("flag", "bits"), (("-mno-avx512f", 256), ("-mno-avx", 128)))
def test_narrow_vectors(monkeypatch, flag, bits):
    """The kernel of CPUs without AVX-512 (or AVX) has another exponential."""
    predefined = subprocess.run(["c++", "-march=native", "-dM", "-E", "-x", "c++", "/dev/null"], capture_output=True)
    if b"__AVX2__" not in predefined.stdout:
        pytest.skip("no AVX here to leave out")
    monkeypatch.setenv("CXX", f"{QUICK} {flag}")
    assert f"{bits}-bit vectors" in backend_name("cpu")
    assert_right(monkeypatch, "cpp")
