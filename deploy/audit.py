"""Audit of the installed packages against the package index's list of known vulnerabilities (`make audit`).

Run `python -m deploy.audit`. pip-audit asks for each package; where the index answers nothing about one, pip-audit
passes it over and still succeeds. Here that is a verdict of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

from deploy.packages import name_of, version_of

Outcome = Literal["clean", "vulnerable", "incomplete", "not reached"]
EXIT_CODES: dict[Outcome, int] = {"clean": 0, "vulnerable": 1, "incomplete": 3, "not reached": 4}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an audit found.

    Attributes:
        outcome: "not reached" if nothing is known of any package, "incomplete" if nothing of some.
        lines: To be shown.
    """

    outcome: Outcome
    lines: tuple[str, ...]


def installed() -> list[str]:
    """Every package of this environment as `name==version`."""
    return sorted({f"{name_of(package.metadata['Name'])}=={version_of(package)}" for package in distributions()})


def verdict_of(report: dict[str, Any] | None, asked: Sequence[str], *, said: str = "") -> Verdict:
    """Judge pip-audit's JSON report.

    Args:
        report: None where there is none.
        asked: The packages, as `name==version`.
        said: The last line that pip-audit printed beside the report.
    """
    entries = [] if report is None else report["dependencies"]
    checked = {f"{name_of(entry['name'])}=={entry['version']}": entry["vulns"] for entry in entries if "vulns" in entry}
    if not checked:
        reason = said or "the index knows none of the packages"
        return Verdict(outcome="not reached", lines=(f"Not reached: nothing was audited ({reason}).",))
    found = tuple(
        f"{package}: {vulnerability['id']}, fixed in {' or '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for package, vulnerabilities in checked.items()
        for vulnerability in vulnerabilities
    )
    unknown = [package for package in asked if package not in checked]
    missing = (f"Not known to the index, not audited: {', '.join(unknown)}.",) if unknown else ()
    summary = f"{len(checked)} of {len(asked)} packages audited, {len(found)} known vulnerabilities."
    outcome: Outcome = "vulnerable" if found else "incomplete" if unknown else "clean"
    return Verdict(outcome=outcome, lines=(*found, *missing, summary))


def audit(packages: Sequence[str]) -> Verdict:
    """Ask for packages, given as `name==version`."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("\n".join(packages), encoding="utf-8")
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
        command = [sys.executable, "-m", "pip_audit", *options, "--requirement", str(listed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # fixed arguments
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        report = None
    lines = done.stderr.strip().splitlines()
    return verdict_of(report, packages, said=lines[-1] if report is None and lines else "")


def main() -> int:
    """Audit everything that is installed here."""
    verdict = audit(installed())
    print("\n".join(verdict.lines))
    return EXIT_CODES[verdict.outcome]


if __name__ == "__main__":
    sys.exit(main())
