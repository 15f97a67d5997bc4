"""What a machine lacks is told in one sentence each, by set-up and by `alignmamba doctor`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest
import torch

from alignmamba.ops.build import COMPILERS
from app.cli import doctor, machine
from app.cli.machine import Finding, Gpu
from extractors.assets import registry
from tests.paths import ROOT

Usage = namedtuple("Usage", "total used free")


def is_a_sentence(text):
    return "\n" not in text and re.fullmatch(r"[A-Za-z].*[.]", text)


def only(findings, level):
    (found,) = [finding for finding in findings if finding.level == level]
    return found.sentence


def fake_nvidia_smi(folder, monkeypatch, lines):
    """A program of that name, found first, that prints what the real one would."""
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_an_unsupported_python(version):
    found = machine.python(version)
    assert found.level == "stop" and is_a_sentence(found.sentence)
    assert "3.11, 3.12 or 3.13" in found.sentence


@pytest.mark.parametrize("version", machine.PYTHONS)
def test_supported_pythons_are_those_of_the_package(version):
    assert machine.python(version).level == "good"
    number = ".".join(map(str, version))
    assert f"Python :: {number}" in (ROOT / "pyproject.toml").read_text()


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert machine.compiler().level == "note" and is_a_sentence(machine.compiler().sentence)
    clang = tmp_path / "clang++"
    clang.write_text("#!/bin/sh\n")
    clang.chmod(0o755)
    assert machine.compiler() == Finding(topic="compiler", level="good", sentence=str(clang))


def test_compilers_are_those_that_the_kernel_is_built_with():
    assert machine.COMPILERS == COMPILERS


def test_a_full_disk(monkeypatch, tmp_path):
    assert machine.disk(tmp_path / "not" / "yet", 1).level == "good"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**10, 10**10 - 5 * 10**7, 5 * 10**7))
    found = machine.disk(tmp_path)
    assert found.level == "stop" and is_a_sentence(found.sentence.replace(str(tmp_path), "HERE"))
    assert "0.1 GB left, expected 1.0 GB" in found.sentence


def test_a_gpu_with_an_old_driver(monkeypatch, tmp_path):
    fake_nvidia_smi(tmp_path, monkeypatch, ["Tesla T4, 535.183.01"])
    assert machine.gpus() == [Gpu(name="Tesla T4", driver="535.183.01")]
    found = only(machine.graphics(machine.gpus()), "note")
    assert is_a_sentence(found) and "535.183.01 is too old for CUDA 13" in found and "580 or newer" in found
    assert not machine.drives(machine.gpus()) and machine.drives(machine.gpus(), cuda=12)


def test_gpus_of_different_kinds(monkeypatch, tmp_path):
    fake_nvidia_smi(tmp_path, monkeypatch, ["NVIDIA H100, 580.65.06", "NVIDIA T4, 580.65.06", "NVIDIA T4, 580.65.06"])
    found = only(machine.graphics(machine.gpus()), "note")
    assert is_a_sentence(found) and "NVIDIA H100 and NVIDIA T4" in found and "ALIGNMAMBA_DEVICE=cuda:1" in found


def test_gpus_of_one_kind_need_no_words(monkeypatch, tmp_path):
    fake_nvidia_smi(tmp_path, monkeypatch, ["NVIDIA H100, 590.1", "NVIDIA H100, 590.1"])
    assert [finding.level for finding in machine.graphics(machine.gpus())] == ["good"]


def test_a_driver_that_does_not_answer_is_no_gpu(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpus() == []


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError: Failed to establish a new connection: [Errno -2] Name or service not known", "reached"),
        ("error: Request failed\n cause: dns error", "reached"),
        ("pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out.", "slow"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "other bytes"),
    ],
)
def test_an_installers_words_become_a_sentence(said, word):
    sentence = machine.explain(said)
    assert word in sentence and is_a_sentence(sentence)


def test_unknown_words_are_not_explained():
    assert machine.explain("error: command 'gcc' failed") is None


def test_pip_without_a_network_is_understood(monkeypatch):
    """The real pip, whose index is a port on which nothing listens."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    found = doctor.network("typer==1.0")
    assert found.level == "stop" and "cannot be reached" in found.sentence and is_a_sentence(found.sentence)


def test_doctor_asks_for_the_network_only_where_a_model_file_is_missing(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(doctor, "network", lambda wheel: asked.append(wheel) or machine.python())
    list(doctor.model_files())
    assert asked == []
    monkeypatch.setenv("ALIGNMAMBA_CACHE", str(tmp_path))
    found = [finding for finding in doctor.model_files() if finding.level == "note"]
    assert len(found) == len(registry.ASSETS) and "alignmamba models" in found[0].sentence
    assert len(asked) == 1 and not any(tmp_path.iterdir())


def test_doctor_names_packages_that_are_missing_or_too_old():
    wanted = ["torch>=99", "no-such-package>=1", "numpy>=2", 'ray>=2; extra == "ray"']
    assert doctor.unmet(wanted) == [("torch", ">=99"), ("no-such-package", ">=1")]
    assert doctor.unmet(doctor.requirements()) == []


def test_doctor_ends_with_the_packages_where_one_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "requirements", lambda: ["no-such-package>=1"])
    found = list(doctor.findings())
    assert found[-1].level == "stop"
    assert "no-such-package not installed (expected >=1): install them again" in found[-1].sentence


def test_doctor_tells_a_torch_without_cuda_beside_a_gpu(monkeypatch, tmp_path):
    if torch.version.cuda is not None:
        pytest.skip("this torch is built for CUDA")
    fake_nvidia_smi(tmp_path, monkeypatch, ["NVIDIA H100, 590.1"])
    assert "built for the CPU alone" in only(doctor.graphics(), "note")


def test_doctor_tells_a_recogniser_that_lacks_its_library(monkeypatch, tmp_path):
    def fails():
        raise RuntimeError(
            "cuBLAS of CUDA 12 cannot be loaded (no such file); install it: pip install nvidia-cublas-cu12"
        )

    fake_nvidia_smi(tmp_path, monkeypatch, ["NVIDIA H100, 590.1"])
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr("alignmamba.ops.device.named_gpus", lambda: ["NVIDIA H100"])
    monkeypatch.setattr(doctor, "load_cublas", fails)
    assert "The speech recogniser runs on the CPU: cuBLAS of CUDA 12" in only(doctor.graphics(), "note")


def test_doctor_tells_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setenv("ALIGNMAMBA_DEVICE", "cuda:7")
    found = doctor.scan()
    assert found.level == "stop" and is_a_sentence(found.sentence) and "'cuda:7'" in found.sentence


def test_set_up_can_ask_without_any_package(tmp_path):
    """-S: no package can be imported."""
    asked = [sys.executable, "-S", "-m", "app.cli.machine"]
    done = subprocess.run([*asked, "before", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == any(finding.level == "stop" for finding in machine.before(tmp_path))
    log = tmp_path / "log"
    log.write_text("No space left on device")
    done = subprocess.run([*asked, "explain", str(log)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("The disk is full")
