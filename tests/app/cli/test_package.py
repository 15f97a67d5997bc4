"""The package: ranges, pins and hashes agree, and the wheel brings all that is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT
from tests.test_house import requirement_lines

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    "cuda": ["alignmamba/ops/requirements.txt"],
    "gpu": ["extractors/assets/requirements.txt"],
    "ray": ["extractors/corpus/requirements.txt"],
    "dev": ["tests/requirements.txt", "training/data/corpora/requirements.txt"],
}


def named(lines):
    return {canonicalize_name(each.name): each for each in map(Requirement, lines)}


def pins(*files):
    return named(line for file in files for line in requirement_lines(file))


def admits(needed, pin):
    (exact,) = pin.specifier
    return needed.specifier.contains(exact.version, prereleases=True)


def test_every_pin_lies_in_a_range_of_the_package():
    needed, pinned = named(PROJECT["dependencies"]), pins("requirements.txt")
    assert needed.keys() == pinned.keys(), "requirements.txt and [project] dependencies name other packages"
    assert not [name for name in needed if not admits(needed[name], pinned[name])]


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_pin_lies_in_a_range_of_an_extra(extra):
    lines = PROJECT["optional-dependencies"][extra]
    if f"alignmamba[{'train'}]" in lines:
        lines = [*lines[1:], *PROJECT["optional-dependencies"]["train"]]
    needed, pinned = named(lines), pins(*EXTRAS[extra])
    assert pinned.keys() <= needed.keys(), f"{EXTRAS[extra]} and the extra {extra} name other packages"
    assert not [name for name in pinned if not admits(needed[name], pinned[name])]


def copied(folder):
    """The files of the project, without what a build would leave among them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(copied(folder / "source"))], check=True)
    (made,) = folder.glob("alignmamba-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A Python with the wheel, which sees the other packages of this one."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    ours = sysconfig.get_path("purelib")
    site = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    with open(os.path.join(site, "ours.pth"), "w", encoding="utf-8") as file:
        file.write(ours + "\n")
    options = ["--no-deps", "--no-index", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)], check=True)
    return python


@pytest.mark.slow
def test_the_wheel_holds_what_the_program_reads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    command = ["git", "ls-files", "alignmamba", "app", "benchmarks/results", "checkpoints", "extractors", "training"]
    ours = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert not {name for name in ours if (ROOT / name).is_file()} - held
    assert not [name for name in held if name.startswith("tests/")]


@pytest.mark.slow
def test_the_readmes_example_runs_from_the_wheel_in_an_empty_folder(installed, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    ran = subprocess.run([str(installed), "-c", example], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    every, without_text = map(float, ran.stdout.splitlines())
    assert 0 < every <= 3, "a glad clip"
    assert -3 <= without_text <= 3 and without_text != every


@pytest.mark.slow
def test_the_installed_command_finds_nothing_missing(installed, tmp_path):
    shown = subprocess.run(
        [str(installed.with_name("alignmamba")), "doctor"], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"alignmamba        {PROJECT['version']}" in shown.stdout and "alignmamba-open" in shown.stdout


@pytest.mark.slow
def test_the_installed_app_reads_its_own_documents(installed, tmp_path):
    code = (
        "from app.services import documents, results, samples\n"
        "assert 'audEERING' in documents.section(documents.readme(), 'Licences')\n"
        "assert results.experiments() and samples.listed()[0].path.is_file()\n"
        "import app; print(app.__file__)"
    )
    shown = subprocess.run([str(installed), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(installed.parents[1]) in shown.stdout
