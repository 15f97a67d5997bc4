"""Result files: complete, of one shape, written in one step."""

import json
import re

import pytest

from training.reporting import result_files


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
