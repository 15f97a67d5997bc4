"""An audit that asked nobody is no clean audit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.audit import EXIT_CODES, audit, installed, verdict_of
from deploy.packages import needed, version_of
from tests.paths import ROOT

ASKED = ("torch==2.13.0", "pyyaml==5.3")
KNOWN = {"id": "PYSEC-2021-142", "fix_versions": ["5.4"], "aliases": [], "description": ""}


def entry(package: str, **content):
    name, version = package.split("==")
    return {"name": name, "version": version, **content}


def skipped(package: str):
    """As pip-audit reports it when the index answers "not found"; it then succeeds."""
    return {"name": package.split("==")[0], "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("entries", "outcome", "line"),
    [
        ([entry(ASKED[0], vulns=[]), entry(ASKED[1], vulns=[])], "clean", "2 of 2 packages audited, 0 known"),
        ([entry(ASKED[0], vulns=[]), entry(ASKED[1], vulns=[KNOWN])], "vulnerable", "pyyaml==5.3: PYSEC-2021-142"),
        ([skipped(ASKED[0]), entry(ASKED[1], vulns=[KNOWN])], "vulnerable", "not audited: torch==2.13.0."),
        ([skipped(ASKED[0]), entry(ASKED[1], vulns=[])], "incomplete", "not audited: torch==2.13.0."),
        ([skipped(ASKED[0]), skipped(ASKED[1])], "not reached", "Not reached: nothing was audited"),
    ],
)  # fmt: skip
def test_verdicts(entries, outcome, line):
    verdict = verdict_of({"dependencies": entries, "fixes": []}, ASKED)
    assert verdict.outcome == outcome
    assert any(line in shown for shown in verdict.lines)


def test_outcomes_have_exit_codes_of_their_own():
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    assert [outcome for outcome, code in EXIT_CODES.items() if code == 0] == ["clean"]


def test_an_index_that_cannot_be_reached(monkeypatch):
    """The real pip-audit, through a proxy that is not there."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    verdict = audit(["packaging==26.4"])
    assert verdict.outcome == "not reached"
    assert "127.0.0.1" in verdict.lines[0], verdict.lines


def test_all_packages_are_asked_for():
    asked = installed()
    assert {f"{name}=={version_of(package)}" for name, package in needed().items()} <= set(asked)
    assert not any("+" in package for package in asked), "the index does not know builds"


def test_the_bill_of_materials_is_valid_and_complete(tmp_path):
    """The command of `make sbom`."""
    (line,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if "cyclonedx_py" in line)
    arguments = line.split("$(PYTHON) ")[1].split()
    made = tmp_path / "sbom.json"
    arguments[arguments.index("build/sbom.cdx.json")] = str(made)
    arguments[-1] = sys.prefix
    # Validated once, below, and more strictly: it takes long.
    subprocess.run([sys.executable, *arguments, "--no-validate"], cwd=ROOT, capture_output=True, check=True)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.read_text(encoding="utf-8")) is None
    listed = json.loads(made.read_text(encoding="utf-8"))
    names = {component["name"].lower().replace("_", "-") for component in listed["components"]}
    assert {name.replace(".", "-") for name in needed()} <= {name.replace(".", "-") for name in names}
    assert listed["metadata"]["component"]["name"] == "alignmamba"
