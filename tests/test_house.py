"""The house holds: imports point down only, and requirements are exact."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from extractors.schema import ModalityFeatures

ROOT = Path(__file__).parent.parent

# Which packages of this project, and which libraries, a folder must not import.
FORBIDDEN = {
    "alignmamba": {"extractors", "training", "app", "benchmarks", "streamlit"},
    "extractors": {"alignmamba", "training", "app", "benchmarks", "streamlit"},
    "training": {"app", "benchmarks", "streamlit"},
    "benchmarks": {"app", "streamlit"},
    "app": {"torch", "mediapipe", "training", "benchmarks", "transformers", "av", "cv2", "faster_whisper", "opensmile"},
}

# The only modules of this project that the screen may know.
APP_MAY_IMPORT = {
    "alignmamba.predictor",
    "alignmamba.distance",
    "alignmamba.modality",
    "alignmamba.result",
    "alignmamba.windows",
    "extractors.clip",
    "extractors.isolate",
    "alignmamba.robustness",
    "extractors.schema",
    "extractors.media",
    "extractors.stills",
    "extractors.store",
    "extractors.subtitles",
    "extractors.tables",
    "extractors.transcript",
}


def imported_modules(source: str, *, package: str) -> set[str]:
    """Dotted names of everything a module imports, also inside functions; `from a import b` counts as a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).strip(".")
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def modules_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).parent.parts)


def requirement_lines(name: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("-r ")]


def test_imports_are_found_wherever_they_stand():
    source = "import a.b\ndef f():\n    from c import d\n    from . import e\n    from ..g import h\n"
    assert imported_modules(source, package="x.y") == {"a.b", "c", "c.d", "x.y", "x.y.e", "x.g", "x.g.h"}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_arrows_point_down(folder):
    modules = modules_of(folder)
    assert modules, f"{folder}/ holds no module"
    for path in modules:
        imported = imported_modules(path.read_text(), package=package_of(path))
        upward = {name for name in imported if name.split(".")[0] in FORBIDDEN[folder]}
        assert not upward, f"{path.relative_to(ROOT)} imports {sorted(upward)}"


def test_the_screen_knows_only_the_contracts():
    for path in modules_of("app"):
        for name in imported_modules(path.read_text(), package=package_of(path)):
            if name.split(".")[0] in ("alignmamba", "extractors"):
                contract = ".".join(name.split(".")[:2])
                # `from extractors import clip` also yields the bare package name.
                assert contract in APP_MAY_IMPORT | {"alignmamba", "extractors"}, (
                    f"{path.relative_to(ROOT)} imports {name}, expected one of {sorted(APP_MAY_IMPORT)}"
                )


@pytest.mark.parametrize("folder", ["alignmamba", "extractors", "training"])
def test_modules_form_no_circle(folder):
    """Top-level imports within a folder can be put in an order."""
    modules = {f"{folder}.{path.stem}": path for path in modules_of(folder) if path.stem != "__init__"}
    below = {
        name: {other for other in imported_modules(path.read_text(), package=folder) if other in modules}
        for name, path in modules.items()
    }
    while below:
        leaves = {name for name, others in below.items() if not others & below.keys()}
        assert leaves, f"a circle among {sorted(below)}"
        below = {name: others for name, others in below.items() if name not in leaves}


@pytest.mark.parametrize(
    "name",
    [
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-cuda.txt",
        "training/requirements-samples.txt",
        "extractors/requirements-ray.txt",
        "benchmarks/requirements.txt",
    ],
)
def test_every_requirement_is_exact(name):
    lines = requirement_lines(name)
    assert lines
    loose = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    assert not loose, f"{name}: {loose}, expected name==version"


def test_requirements_fit_a_cpu_and_hold_one_opencv():
    names = [line.split("==")[0].lower() for line in requirement_lines("requirements.txt")]
    assert len(names) == len(set(names))
    assert not {"mamba-ssm", "causal-conv1d", "mamba_ssm", "causal_conv1d"} & set(names)
    assert [name for name in names if name.startswith("opencv")] == ["opencv-contrib-python"]


def test_array_annotations_are_checked_in_tests():
    """The jaxtyping hook in pyproject.toml is live: without it every shape in a signature is a mere comment."""
    times = np.zeros(3)
    with pytest.raises(jaxtyping.TypeCheckError, match="values"):
        ModalityFeatures(values=np.zeros(3, np.float32), start=times, end=times, valid=np.ones(3, bool))
