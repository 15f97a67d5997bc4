"""Kernels built ahead run where there is no compiler and nothing can be written, as in a container."""

import os
import shutil
import subprocess
import sys

import pytest

from alignmamba.ops import build
from alignmamba.ops.cpu import describe
from tests.alignmamba.ops.scans import cpp
from tests.alignmamba.ops.test_build import QUICK, assert_falls_back, assert_right, cache
from tests.paths import ROOT

__all__ = ["cache"]  # a fixture

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="compilers here are shell scripts"),
    cpp.marks[0],  # needs a compiler
]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """A folder with kernels for every kind of CPU, made by the command of the container's builder stage."""
    folder = tmp_path_factory.mktemp("kernels")
    command = [sys.executable, "-m", "alignmamba.ops.build"]
    environment = {**os.environ, "ALIGNMAMBA_CACHE": str(folder), "CXX": QUICK}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    assert sorted(done.stdout.splitlines()) == sorted(map(str, (folder / "scan").iterdir()))
    assert done.stderr == ""
    return folder / "scan"


@pytest.fixture
def prebuilt(cache, monkeypatch, kernels):
    """Those kernels in a folder that nobody can write, and no compiler any more."""
    shutil.copytree(kernels, cache)
    paths = sorted(cache.iterdir())
    for path in (*paths, cache):
        path.chmod(0o555)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    yield paths
    cache.chmod(0o755)


def test_used_without_a_compiler(monkeypatch, prebuilt, cache):
    assert len(prebuilt) == len(build.INSTRUCTIONS)
    assert_right(monkeypatch, "cpp")
    assert describe().startswith("C++ kernel prebuilt for ")
    assert sorted(cache.iterdir()) == prebuilt


@pytest.mark.parametrize(("instructions", "bits"), [("avx512", 512), ("avx2", 256), ("default", 128)])
def test_the_kernel_fits_the_cpu(instructions, bits, prebuilt):
    """Torch's name of the CPU decides; its own variable makes it a lesser one."""
    program = "from alignmamba.ops.cpu import describe; print(describe())"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": instructions}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    if instructions != "default" and f"prebuilt for {instructions.upper()}" not in done.stdout:
        pytest.skip(f"no {instructions} here: {done.stdout}")
    assert done.stdout.startswith(f"C++ kernel prebuilt for {instructions.upper()}, {bits}-bit vectors")


def test_the_next_best_where_one_is_missing(monkeypatch, prebuilt, cache):
    best = build.instructions_here()[0]
    cache.chmod(0o755)
    for path in prebuilt:
        if f"-{best.lower()}." in path.name:
            path.unlink()
    if best == "DEFAULT":
        pytest.skip("this CPU has only one kind of kernel")
    assert_right(monkeypatch, "cpp")
    assert f"prebuilt for {build.instructions_here()[1]}," in describe()


@pytest.mark.parametrize("fault", ["damaged", "others may write the file", "others may write the folder"])
def test_what_cannot_be_trusted_is_not_loaded(monkeypatch, caplog, prebuilt, cache, fault):
    reason = "no C++ compiler found"
    for path in prebuilt:
        path.chmod(0o777 if fault == "others may write the file" else 0o755)
        if fault == "damaged":
            path.unlink()
            path.write_bytes(b"garbage")
            reason = path.name.split("-")[0]
    if fault == "others may write the folder":
        cache.chmod(0o777)
    assert_falls_back(monkeypatch, caplog, reason)


def test_kernels_of_other_sources_are_not_loaded(monkeypatch, caplog, prebuilt, cache, tmp_path):
    for source in (*build.SOURCES, build.HEADER):
        shutil.copy(source, tmp_path)
    (tmp_path / build.HEADER.name).write_text(build.HEADER.read_text() + "\n// changed\n")
    monkeypatch.setattr(build, "SOURCES", tuple(tmp_path / source.name for source in build.SOURCES))
    monkeypatch.setattr(build, "HEADER", tmp_path / build.HEADER.name)
    assert_falls_back(monkeypatch, caplog, "no C++ compiler found")


def test_building_ahead_without_a_compiler_fails(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler found"):
        build.build_ahead()
