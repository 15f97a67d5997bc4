"""Tables of the READMEs, rendered from committed result files: `python -m training.tables`, or `make tables`.

A table stands between `<!-- table:NAME -->` and `<!-- /table -->`; everything between is written by this module.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.record import RESULTS, ROOT

CHECKPOINT = ROOT / "checkpoints" / "alignmamba-open"
DOCUMENTS = (ROOT / "README.md", CHECKPOINT / "README.md")
MARKED = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
NOT_MEASURED = "not measured yet"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _source(path: Path, result: dict[str, Any]) -> str:
    versions = result["versions"]
    return (
        f"\nFrom `{path.relative_to(ROOT)}`: `{result['command']}`, {result['device']}, {result['cpu_count']} cores, "
        f"torch {versions['torch']}, {result['date'][:10]}.\n"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def checkpoint_table(result: dict[str, Any]) -> str:
    """Metrics of the shipped checkpoint per test set and subset."""
    names = {"a": "voice", "v": "face", "l": "words"}
    rows = []
    for row in result["rows"]:
        senses = " + ".join(names[letter] for letter in row["modalities"])
        if "balanced_accuracy" in row:
            measured = [f"{_percent(row['balanced_accuracy'])} (balanced)", "–", "–", "–", "–"]
        else:
            keys = ("acc2_non0", "acc2_has0", "acc7")
            measured = [*(_percent(row[key]) for key in keys), f"{row['mae']:.3f}", f"{row['corr']:.3f}"]
        rows.append([row["test_set"], senses, str(row["n"]), *measured])
    header = ["test set", "senses", "n", "Acc-2 Non0 %", "Acc-2 Has0 %", "Acc-7 %", "MAE", "Pearson r"]
    return _table(header, rows)


def variants_table(result: dict[str, Any]) -> str:
    """Settings of the method, each against the first: mean and standard deviation over seeds."""

    def cell(summary: dict[str, Any], *, factor: float = 1.0, digits: int = 3) -> str:
        return f"{factor * summary['mean']:.{digits}f} ± {factor * summary['std']:.{digits}f}"

    rows = [
        [
            row["setting"],
            cell(row["validation_mae"]),
            cell(row["metric"]["acc2_non0"], factor=100.0, digits=1),
            cell(row["metric"]["mae"]),
            cell(row["metric"]["corr"]),
        ]
        for row in result["rows"]
    ]
    seeds = ", ".join(map(str, result["seeds"]))
    header = ["setting", "validation error", "test Acc-2 Non0 %", "test MAE", "test Pearson r"]
    return _table(header, rows) + f"\nMean ± standard deviation over the seeds {seeds}.\n"


def clip_table(result: dict[str, Any]) -> str:
    """Seconds that a clip takes."""
    rows = []
    for row in result["rows"]:
        if "toggle_p50_ms" in row:
            toggle = f"median {row['toggle_p50_ms']:.1f} ms, 95 % under {row['toggle_p95_ms']:.1f} ms"
            rows.append(["new modalities (toggle)", toggle, "–"])
        else:
            where = ", in a worker process" if row.get("path") == "isolated" else ""
            what = f"{row['start']} start, transcript {row['transcript']}{where}"
            rows.append([what, f"{row['total_s']:.1f} s", f"{row['peak_mb']:.0f} MB"])
    return _table(["10-s 720p clip", "time", "peak memory"], rows)


def scan_table(result: dict[str, Any]) -> str:
    """Milliseconds of the scan by implementation and shape."""
    shapes = sorted({(row["batch"], row["length"]) for row in result["rows"]})
    implementations = list(dict.fromkeys(row["implementation"] for row in result["rows"]))
    found = {(row["implementation"], row["batch"], row["length"]): row for row in result["rows"]}

    def cell(row: dict[str, Any] | None) -> str:
        if row is None or row.get("forward_ms") is None:
            return "–"
        both = row.get("forward_backward_ms")
        return f"{row['forward_ms']:.3g} / {both:.3g}" if both is not None else f"{row['forward_ms']:.3g} / –"

    rows = [[name, *(cell(found.get((name, *shape))) for shape in shapes)] for name in implementations]
    return _table(["forward / forward + backward, ms", *(f"B{b} L{n}" for b, n in shapes)], rows)


def fusion_table(result: dict[str, Any]) -> str:
    """Time and memory of whole models by length."""
    rows = [
        [
            row["model"],
            f"{row['tokens']:,}",
            "–" if row.get("time_ms") is None else f"{row['time_ms']:,.0f}",
            "–" if row.get("peak_mb") is None else f"{row['peak_mb']:,.0f}",
            "–" if row.get("gflop") is None else f"{row['gflop']:,.1f}",
            row["status"],
        ]
        for row in result["rows"]
    ]
    return _table(["model", "tokens", "time, ms", "peak memory, MB", "GFLOP", "status"], rows)


TABLES: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "checkpoint": (CHECKPOINT / "metrics.json", checkpoint_table),
    "variants": (ROOT / "training" / "results" / "composed" / "variants.json", variants_table),
    "clip": (RESULTS / "clip-cpu.json", clip_table),
    "scan-cpu": (RESULTS / "scan-cpu.json", scan_table),
    "fusion-cpu": (RESULTS / "fusion-cpu.json", fusion_table),
    "scan-cuda": (RESULTS / "scan-cuda.json", scan_table),
    "fusion-cuda": (RESULTS / "fusion-cuda.json", fusion_table),
}


def table(name: str) -> str:
    """Render one table; a result file that is not there yet says so.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in TABLES:
        raise ValueError(f"table: {name!r}, expected one of {sorted(TABLES)}")
    path, render = TABLES[name]
    if not path.exists():
        return f"*{NOT_MEASURED}: `{path.relative_to(ROOT)}` is not there.*\n"
    result = json.loads(path.read_text(encoding="utf-8"))
    return render(result) + _source(path, result)


def rendered(text: str) -> str:
    """A document with all its tables written anew."""
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found['name'])}\n{found[3]}", text)


def main() -> int:
    """Rewrite the documents; with --check only tell whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a table is out of date")
    arguments = parser.parse_args()
    stale = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        if rendered(text) != text:
            stale.append(str(document.relative_to(ROOT)))
            if not arguments.check:
                document.write_text(rendered(text), encoding="utf-8")
    print(f"{'out of date' if arguments.check else 'rewritten'}: {', '.join(stale) or 'none'}")
    return int(arguments.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
