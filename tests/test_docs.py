"""The documents hold: links, paths, commands and layers that they name exist, and the README's example runs."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys

import pytest

from extractors.media.container import LIMITS, LONG_LIMITS
from tests.paths import ROOT
from tests.test_house import LAYERS

README_LINES, CONTRIBUTING_LINES = 150, 40
DOCUMENTS = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
]  # fmt: skip
IDS = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
TOP = {path.name for path in ROOT.iterdir() if path.name not in (".venv", ".git", "build", "runs")}
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
PATH = re.compile(r"(?<![\w./:<-])([\w.-]+(?:/[\w.-]+)+/?|[\w.-]+/)(?![\w<*/])")
COMMAND = re.compile(r"python -m ([\w.]+)([^`\n]*)")
WRITTEN = {"checkpoints/mine"}  # by a command that is shown
TARGET = re.compile(r"(?:^|`)make ([a-z-]+)\b")


def code(text: str) -> list[str]:
    """What stands in fences and backticks."""
    return [fence or inline for fence, inline in CODE.findall(text)]


def commands() -> dict[str, set[str]]:
    """Modules of all `python -m` commands of the documents, with the options that they are shown with."""
    found: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        for part in code(document.read_text(encoding="utf-8")):
            for module, rest in COMMAND.findall(part):
                found.setdefault(module, set()).update(re.findall(r"--[a-z][\w-]*", rest.partition("#")[0]))
    return found


def runnable(module: str) -> str:
    """The module that `python -m` runs."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"python -m {module}: there is no such module"
    return f"{module}.__main__" if spec.submodule_search_locations else module


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES
    assert len((ROOT / "docs" / "contributing.md").read_text(encoding="utf-8").splitlines()) <= CONTRIBUTING_LINES


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_relative_link_leads_somewhere(document):
    links = LINK.findall(document.read_text(encoding="utf-8"))
    broken = [link for link in links if not (document.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_path_exists(document):
    text = document.read_text(encoding="utf-8")
    paths = {path for part in code(text) for path in PATH.findall(part)}
    ours = {path for path in paths if path.split("/")[0] in TOP or path.endswith((".py", ".md"))}
    lost = sorted(path for path in ours if not (ROOT / path).exists() and path not in WRITTEN)
    assert not lost


def test_paths_are_found_in_code_only():
    text = "app/none.py `app/main.py` and `from a/b.py`\n```sh\ncurl -F file=@app/samples/x.webm http://h/app/y\n```\n"
    found = [path for part in code(text) for path in PATH.findall(part)]
    assert found == ["app/main.py", "a/b.py", "app/samples/x.webm"]


@pytest.mark.parametrize("module", commands())
def test_every_command_names_a_module(module):
    assert importlib.util.find_spec(runnable(module)) is not None


@pytest.mark.parametrize("module", [module for module, options in commands().items() if options])
def test_every_option_is_in_the_help(module, monkeypatch, capsys):
    if module.startswith("extractors.corpus.cluster"):
        pytest.importorskip("ray")
    main = importlib.import_module(runnable(module)).main
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    shown = capsys.readouterr().out
    assert not {option for option in commands()[module] if option not in shown}


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        named = {target for part in code(document.read_text(encoding="utf-8")) for target in TARGET.findall(part)}
        assert named <= targets, document.name


def test_the_layers_in_the_documents_are_those_that_hold():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = "".join(f"{folder}\n" + "".join(f"  {line}\n" for line in lines) for folder, lines in LAYERS.items())
    assert block in text, f"docs/architecture.md, expected:\n{block}"


@pytest.mark.slow
def test_the_readmes_example_runs(monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(compile(example, "README.md", "exec"), {})
    every, without_text = (float(line) for line in capsys.readouterr().out.splitlines())
    assert 0 < every <= 3, "a glad clip"
    assert -3 <= without_text <= 3 and without_text != every


def test_documents_state_the_limits_of_a_clip_as_the_code_has_them():
    screen = f"{LONG_LIMITS.seconds / 60:.0f} minutes and {LONG_LIMITS.file_bytes / 1e6:.0f} MB on screen"
    http = f"{LIMITS.seconds:.0f} s and {LIMITS.file_bytes / 1e6:.0f} MB over HTTP"
    for name in ("README.md", "docs/deployment.md"):
        text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
        assert screen in text and http in text, name


def test_every_environment_variable_is_documented():
    sources = [path for folder in ("alignmamba", "app", "extractors") for path in (ROOT / folder).rglob("*.py")]
    read = {name for path in sources for name in re.findall(r"ALIGNMAMBA_[A-Z_]+", path.read_text(encoding="utf-8"))}
    documented = set(
        re.findall(r"`(ALIGNMAMBA_[A-Z_]+)`", (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8"))
    )
    assert read and read <= documented
