"""Set-up: it stops with one sentence where it cannot go on, and the lock holds every pin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT

TOOLS = (
    "awk",
    "bash",
    "cat",
    "cksum",
    "cut",
    "dirname",
    "env",
    "grep",
    "head",
    "rm",
    "sed",
    "sort",
    "tee",
    "touch",
    "tr",
)
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash on this machine")


@pytest.fixture
def machine(tmp_path):
    """A copy of the set-up on a machine that has no more than a few tools, and what a test puts there."""
    for name in ("requirements.txt", "tests/requirements.txt", "app/cli", "extractors/assets", ".ci"):
        target = tmp_path / "project" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile)(ROOT / name, target)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    return Machine(tmp_path / "project", programs)


class Machine:
    def __init__(self, project: Path, programs: Path) -> None:
        self.project, self.programs = project, programs
        self.put("uname", 'case "$1" in -m) echo x86_64 ;; *) echo Linux ;; esac')

    def put(self, name, script):
        path = self.programs / name
        path.write_text(f"#!{BASH}\n{script}\n")
        path.chmod(0o755)

    def set_up(self, **variables):
        """The last line that it prints when it stops."""
        command = [BASH, str(self.project / ".ci" / "setup"), "app"]
        environment = {"PATH": str(self.programs), "HOME": str(self.project), **variables}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode, done.stdout
        assert "Traceback" not in done.stderr and "setup: line" not in done.stderr, done.stderr
        return done.stderr.strip().splitlines()[-1], done.stdout


def test_no_python_at_all(machine):
    stopped, _ = machine.set_up()
    assert stopped.startswith("Set-up stopped: Python 3.11, 3.12 or 3.13 is needed and was not found.")
    assert "apt-get install python3-venv" in stopped and "uv" in stopped


def test_an_unsupported_python(machine):
    machine.put("python3", 'case "$2" in *exit*) exit 1 ;; *) echo 3.9 ;; esac')
    stopped, _ = machine.set_up()
    assert "Python 3.9 is not supported. Python 3.11, 3.12 or 3.13 is needed" in stopped


@pytest.mark.parametrize(
    ("system", "processor", "said"),
    [
        ("MINGW64_NT-10.0", "x86_64", "Install WSL (wsl --install)"),
        ("Darwin", "x86_64", "no builds for Macs with an Intel processor"),
        ("Darwin", "arm64", "brew install python@3.13"),
    ],
)
def test_other_systems_are_told_what_to_do(machine, system, processor, said):
    machine.put("uname", f'case "$1" in -m) echo {processor} ;; *) echo {system} ;; esac')
    stopped, _ = machine.set_up()
    assert said in stopped and "apt-get" not in stopped


@pytest.fixture
def with_python(machine):
    """The same machine with this Python, and an environment that is there already."""
    machine.put("python3.11", f'exec {sys.executable} "$@"')
    place = machine.project / ".venv" / "bin"
    place.mkdir(parents=True)
    return machine


def python_of_the_environment(machine, *, pip="exit 1"):
    """The environment's Python: real, without packages, and a script in the part of pip."""
    program = machine.project / ".venv" / "bin" / "python"
    program.write_text(
        f"#!{BASH}\n"
        'if [ "$1 $2" = "-m pip" ]; then\n'
        '  case "$*" in *--version*) exit 0 ;; esac\n'
        f"  {pip}\nfi\n"
        f'exec {sys.executable} -S "$@"\n'
    )
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("[Errno -2] Name or service not known", "The package index cannot be reached: check the network"),
        ("OSError: [Errno 28] No space left on device", "The disk is full: make room"),
        ("ReadTimeoutError: Read timed out.", "The network is slow or broke off: run the same command again"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "A package has other bytes"),
    ],
)
def test_why_packages_could_not_be_installed(with_python, printed, said):
    python_of_the_environment(with_python, pip=f"echo '{printed}'; exit 1")
    stopped, _ = with_python.set_up()
    assert stopped.startswith(f"Set-up stopped: {said}")


def test_packages_are_installed_with_hashes(with_python):
    python_of_the_environment(with_python, pip='echo "pip $*"; exit 1')
    _, printed = with_python.set_up()
    (line,) = [line for line in printed.splitlines() if "-r .venv/set-up.txt" in line]
    assert "--require-hashes" in line
    wanted = (with_python.project / ".venv" / "set-up.txt").read_text()
    assert "\neinops==" in wanted and "\ntorch==" in wanted and "\nnvidia-" in wanted  # no CPU build was to be had


@pytest.mark.parametrize("gpu", [False, True])
def test_the_recogniser_gets_its_libraries_where_there_is_a_gpu(with_python, gpu):
    if gpu:
        with_python.put("nvidia-smi", "echo 'NVIDIA H100, 590.1'")
    python_of_the_environment(with_python)
    with_python.set_up()
    wanted = (with_python.project / ".venv" / "set-up.txt").read_text()
    assert ("\nnvidia-cublas-cu12==" in wanted) == gpu


def test_notes_on_the_machine_come_before_anything_is_installed(with_python):
    """No compiler and a GPU whose driver is too old: one sentence each, and the CPU build is looked for."""
    with_python.put("nvidia-smi", "echo 'Tesla T4, 470.82.01'")
    python_of_the_environment(with_python, pip='echo "pip $*"; exit 1')
    _, printed = with_python.set_up()
    told = printed.splitlines()
    assert [line for line in told if line.startswith("There is no C++ compiler, so the plain torch scan is used")]
    assert [line for line in told if line.startswith("The NVIDIA driver 470.82.01 is too old for CUDA 13")]
    assert [line for line in told if "looking for its CPU build" in line]


def test_a_lock_that_lacks_a_pin_is_told(with_python):
    python_of_the_environment(with_python)
    requirements = with_python.project / "requirements.txt"
    requirements.write_text(requirements.read_text().replace("einops==", "einops==9."))
    stopped, _ = with_python.set_up()
    assert re.fullmatch(r"The lock lacks einops==9\.[\d.]+: run make lock and commit \.ci/lock/\.", stopped)


def test_the_lock_holds_every_pin():
    command = [sys.executable, str(ROOT / ".ci" / "lock.py"), "check"]
    files = ["requirements.txt", "tests/requirements.txt", "training/data/corpora/requirements.txt"]
    files += ["extractors/assets/requirements.txt"]
    subprocess.run([*command, *files], cwd=ROOT, check=True)


def test_the_lock_has_hashes_and_names_no_index():
    for path in sorted((ROOT / ".ci" / "lock").glob("*.txt")):
        text = path.read_text()
        packages = re.findall(r"^[\w.-]+==.*", text, re.MULTILINE)
        assert packages and all(line.endswith("\\") for line in packages), path
        assert not re.search(r"https?://|--index|--find-links", text), path
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", text)) >= len(packages)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_lock_closes_over_what_its_packages_need(version):
    """Of each package that another one here needs there is a version for each Python."""
    environment = {"python_version": version, "python_full_version": f"{version}.9"}
    lines = [
        Requirement(line.removesuffix("\\").strip())
        for name in ("app", "dev")
        for line in (ROOT / ".ci" / "lock" / f"{name}.txt").read_text().splitlines()
        if re.match(r"[\w.-]+==", line)
    ]
    locked = {canonicalize_name(each.name) for each in lines if due(each, environment)}
    for name in locked & {canonicalize_name(found.name) for found in metadata.distributions()}:
        for need in map(Requirement, metadata.requires(name) or []):
            if due(need, environment) and not canonicalize_name(need.name).startswith(
                ("nvidia-", "cuda-", "setuptools")
            ):
                assert canonicalize_name(need.name) in locked, f"{name} needs {need} on Python {version}"


def due(needed, environment):
    return needed.marker is None or needed.marker.evaluate({**environment, "extra": ""})


def test_the_lock_serves_every_system():
    """Of packages with compiled parts there are files for many systems and Pythons, whose names the index knows."""
    text = (ROOT / ".ci" / "lock" / "app.txt").read_text()
    hashes = {name: block.count("--hash") for name, block in re.findall(r"^([\w-]+)==(.*(?:\n    .*)*)", text, re.M)}
    assert hashes["torch"] >= 12  # three Pythons by Linux (two processors), macOS and Windows
    assert hashes["numpy"] >= 12 and hashes["mediapipe"] >= 3


def test_the_set_up_that_is_done_ends_at_once(with_python):
    """No pip, no network: only the stamps are looked at."""
    python_of_the_environment(with_python, pip="exit 1")
    names = ("app.txt", "dev.txt")
    locks = [(with_python.project / ".ci" / "lock" / name).read_bytes() for name in names]
    script = (with_python.project / ".ci" / "setup").read_bytes()
    counted = subprocess.run(["cksum"], input=locks[0] + script, capture_output=True, check=True).stdout.decode()
    (with_python.project / ".venv" / f".set-up-app-{'-'.join(counted.split())}").touch()
    with_python.put("ldconfig", "exit 0")
    command = [BASH, str(with_python.project / ".ci" / "setup"), "app"]
    environment = {"PATH": f"{with_python.programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(with_python.project)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr
