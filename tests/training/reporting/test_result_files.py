"""Result files: complete, of one shape, written in one step."""

import json
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from training.reporting import result_files

COMMAND = re.compile(r"python -m ([\w.]+)")
TRACKED = subprocess.run(
    ["git", "ls-files", "*.json", "*.md"], cwd=result_files.ROOT, capture_output=True, text=True, check=True
).stdout.split()


def test_a_file_says_where_its_numbers_come_from(tmp_path):
    path = result_files.write(
        "scan", "python -m x", [{"time_ms": 1.5}], device="cpu", seeds=[0], folder=tmp_path / "new"
    )
    assert path == tmp_path / "new" / "scan-cpu.json"
    result = json.loads(path.read_text())
    assert list(result) == [
        "name", "command", "commit", "date", "device", "cpu_count", "versions", "data_sha256", "seeds", "rows",
    ]  # fmt: skip
    assert result["rows"] == [{"time_ms": 1.5}]
    assert result["seeds"] == [0]
    assert result["cpu_count"] >= 1
    assert {"python", "torch", "numpy"} <= result["versions"].keys()
    assert result["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(\+changes)?", result["commit"])


def test_without_a_device_the_name_has_no_suffix(tmp_path):
    assert result_files.write("fuzz", "x", [{"tried": 1}], folder=tmp_path).name == "fuzz.json"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = result_files.write("scan", "x", [{"time_ms": 1.0}], folder=tmp_path)
    before = path.read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        result_files.write("scan", "x", [{"time_ms": float("nan")}], folder=tmp_path)
    with pytest.raises(ValueError, match="rows: none given"):
        result_files.write("scan", "x", [], folder=tmp_path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def commands(name):
    """Modules that a committed file names in a command."""
    text = (result_files.ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".md"):
        return COMMAND.findall(text)
    content = json.loads(text)
    return COMMAND.findall(content["command"]) if isinstance(content, dict) and "command" in content else []


@pytest.mark.parametrize("name", [name for name in TRACKED if commands(name)])
def test_recorded_commands_exist(name):
    for module in commands(name):
        found = find_spec(module)
        assert found is not None, f"{name}: python -m {module}"
        if module.split(".")[0] in ("training", "benchmarks", "extractors", "app"):
            file = Path(found.origin)
            file = file.with_name("__main__.py") if file.name == "__init__.py" else file
            assert file.exists() and "__main__" in f"{file.stem} {file.read_text(encoding='utf-8')}", name


def test_every_committed_result_records_its_command():
    folders = ("benchmarks/results/", "training/results/")
    results = [name for name in TRACKED if name.startswith(folders) and name.endswith(".json")]
    assert results
    for name in results:
        assert commands(name), name
