"""The house holds: imports point down only, and requirements are exact."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from extractors.schema import ModalityFeatures
from tests.paths import ROOT

# Rooms from the ground floor up: a module may import from its own room and from rooms on the lines above. A room is a
# package, or a module that stands in the top folder of one; rooms on one line do not know each other.
LAYERS = {
    "alignmamba": [
        "modality ops",
        "config",
        "batch calibration prediction",
        "modeling",
        "checkpoint",
        "predictor hub",
        "evaluation result",
    ],
    "extractors": [
        "messages",
        "schema media progress",
        "assets audio",
        "vision language",
        "storage",
        "pipeline",
        "workers",
        "corpus __main__",
    ],
    "training": [
        "run_state reporting settings demo_clips",
        "trainer",
        "data",
        "baselines release finetune",
        "experiments",
        "planted reproduce",
    ],
    "app": ["i18n", "services charts", "export", "components api", "app_pages cli main"],
    "benchmarks": ["clip fusion mutants plan scan server speech", "fuzz screen start talk", "soak"],
    "deploy": ["packages dockerfile", "audit licences trial"],
}

# What a top folder may import of the others, and libraries that it must not know.
FOLDERS_BELOW = {
    "alignmamba": set(),
    "extractors": set(),
    "training": {"alignmamba", "extractors"},
    "benchmarks": {"alignmamba", "extractors", "training"},
    "app": {"alignmamba", "extractors"},
    "deploy": {"extractors", "training"},
}
UNKNOWN_LIBRARIES = {
    "alignmamba": {"streamlit", "av", "cv2", "mediapipe", "opensmile", "transformers", "faster_whisper"},
    "extractors": {"streamlit"},
    "training": {"streamlit"},
    "benchmarks": {"streamlit"},
    "deploy": {"streamlit", "torch"},
    "app": {"torch", "mediapipe", "transformers", "av", "cv2", "faster_whisper", "opensmile"},
}

# The only modules of the libraries below that the screen may know.
APP_MAY_IMPORT = {
    "alignmamba.evaluation",
    "alignmamba.config",
    "alignmamba.modality",
    "alignmamba.ops.device",
    "alignmamba.ops.selective_scan",
    "alignmamba.prediction",
    "alignmamba.predictor",
    "alignmamba.result",
    "extractors.__main__",
    "extractors.assets",
    "extractors.corpus.run",
    "extractors.language.languages",
    "extractors.language.sentences",
    "extractors.language.subtitles",
    "extractors.language.transcript",
    "extractors.media.container",
    "extractors.media.probe",
    "extractors.messages",
    "extractors.progress",
    "extractors.schema",
    "extractors.storage",
    "extractors.vision.lips",
    "extractors.vision.outline",
    "extractors.vision.overlay.plan",
    "extractors.vision.stills",
    "extractors.workers.client",
    "extractors.workers.fair_queue",
}
MAX_ENTRIES = 14  # of a folder
MARKERS = ("py.typed", "LICENSE")  # files whose place a standard fixes; not counted
MAX_LINES = 350  # of a module outside tests


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


def listed_files() -> list[str]:
    """Files of the project: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).exists()]


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).parent.parts)


def requirement_lines(name: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("-r ")]


def test_imports_are_found_wherever_they_stand():
    source = "import a.b\ndef f():\n    from c import d\n    from . import e\n    from ..g import h\n"
    assert imported_modules(source, package="x.y") == {"a.b", "c", "c.d", "x.y", "x.y.e", "x.g", "x.g.h"}


def room(module: str) -> tuple[str, str]:
    """Top folder and room of a dotted name; the room is empty for the top folder itself."""
    folder, _, rest = module.partition(".")
    return folder, rest.partition(".")[0]


@pytest.mark.parametrize("folder", LAYERS)
def test_every_room_has_a_floor(folder):
    entries = {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    floors = [room for line in LAYERS[folder] for room in line.split()]
    assert sorted(floors) == sorted(entries - {"__init__", "__pycache__"})


@pytest.mark.parametrize("folder", LAYERS)
def test_arrows_point_down(folder):
    floors = {room: number for number, line in enumerate(LAYERS[folder]) for room in line.split()}
    modules = modules_of(folder)
    assert modules, f"{folder}/ holds no module"
    for path in modules:
        where = path.relative_to(ROOT)
        own = room(".".join(where.with_suffix("").parts))[1]
        for name in imported_modules(path.read_text(), package=package_of(path)):
            other, place = room(name)
            assert other not in UNKNOWN_LIBRARIES[folder], f"{where} imports {name}"
            if other in LAYERS and other != folder:
                assert other in FOLDERS_BELOW[folder], f"{where} imports {name}"
            if other == folder and place in floors and place != own and own != "__init__":
                assert floors[place] < floors[own], f"{where} imports {name}, which does not stand below it"


def test_the_screen_knows_only_the_contracts():
    for path in modules_of("app"):
        for name in imported_modules(path.read_text(), package=package_of(path)):
            if name.count(".") and name.split(".")[0] in ("alignmamba", "extractors"):
                known = {contract for contract in APP_MAY_IMPORT if name == contract or name.startswith(f"{contract}.")}
                # `from extractors.media import probe` also yields the name of its package.
                package = {contract for contract in APP_MAY_IMPORT if contract.startswith(f"{name}.")}
                assert known or package, f"{path.relative_to(ROOT)} imports {name}, expected {sorted(APP_MAY_IMPORT)}"


@pytest.mark.parametrize("folder", LAYERS)
def test_modules_form_no_circle(folder):
    """Imports within a folder, those inside functions too, can be put in an order."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in modules_of(folder)}
    below = {
        name: {other for other in imported_modules(path.read_text(), package=package_of(path)) if other in modules}
        for name, path in modules.items()
    }
    while below:
        leaves = {name for name, others in below.items() if not others & below.keys()}
        assert leaves, f"a circle among {sorted(below)}"
        below = {name: others for name, others in below.items() if name not in leaves}


def test_folders_and_modules_are_small():
    tracked = [Path(line) for line in listed_files()]
    folders: dict[Path, set[str]] = {}
    for path in tracked:
        for parent in path.parents:
            folders.setdefault(parent, set()).add(path.relative_to(parent).parts[0])
    crowded = {
        str(folder): len(entries)
        for folder, entries in folders.items()
        if sum(not entry.startswith(".") and entry not in MARKERS for entry in entries) > MAX_ENTRIES
    }
    assert not crowded, f"{crowded}, expected at most {MAX_ENTRIES} entries a folder"
    code = [path for path in tracked if path.suffix in (".py", ".cpp", ".hpp", ".js") and path.parts[0] != "tests"]
    long = {str(path): lines for path in code if (lines := len((ROOT / path).read_text().splitlines())) > MAX_LINES}
    assert not long, f"{long}, expected at most {MAX_LINES} lines a module"


@pytest.mark.parametrize(
    "name",
    [
        "requirements.txt",
        "tests/requirements.txt",
        "alignmamba/ops/requirements.txt",
        "training/demo_clips/requirements.txt",
        "extractors/corpus/requirements.txt",
        "extractors/assets/requirements.txt",
    ],
)
def test_every_requirement_is_exact(name):
    lines = requirement_lines(name)
    assert lines
    loose = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+(; [a-z_]+ == .+)?", line)]
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
