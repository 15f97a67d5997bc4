"""Tables of the documents, rendered from the committed result files (`make tables`).

Run `python -m training.reporting.tables`. A table stands between `<!-- table:NAME -->` and `<!-- /table -->` in any of
`DOCUMENTS`; everything between is written by this module.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.reporting import (
    checkpoint_tables,
    efficiency,
    experiment_tables,
    figures,
    security_tables,
    short_tables,
    waiting_tables,
)
from training.reporting.markdown import (
    UNDEFINED,
    modalities,
    percent,
    table,
)
from training.reporting.result_files import GPU_RESULTS, RESULTS, ROOT, SPEECH_RESULTS

CHECKPOINT = ROOT / "checkpoints" / "alignmamba-open"
OPENSMILE = CHECKPOINT.with_name("alignmamba-opensmile")
CARDS = (CHECKPOINT / "README.md", OPENSMILE / "README.md")
DOCUMENTS = (ROOT / "README.md", *CARDS, *sorted((ROOT / "docs").glob("*.md")))
MADE = ROOT / "training" / "results"
PAPER = ROOT / "training" / "reporting" / "paper.json"
MARKED = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
NOT_MEASURED = "not measured yet"


def _source(path: Path, result: dict[str, Any]) -> str:
    versions = result["versions"]
    return (
        f"\nFrom `{path.relative_to(ROOT)}`: `{result['command']}`, {result['device']}, {result['cpu_count']} cores, "
        f"torch {versions['torch']}, {result['date'][:10]}.\n"
    )


def _change(row: dict[str, Any], before: str, after: str) -> str:
    """Two shares as "before → after" in percent; a dash where one was not measured."""
    return f"{percent(row[before])} → {percent(row[after])}" if before in row and after in row else UNDEFINED


def checkpoint_table(result: dict[str, Any]) -> str:
    """Metrics of the shipped checkpoint per test set and subset."""
    rows = []
    for row in result["rows"]:
        if "acc2_non0" in row:
            keys = ("acc2_non0", "acc2_has0", "acc7")
            error = row.get("standard_error", {}).get("mae")
            mae = f"{row['mae']:.3f}" if error is None else f"{row['mae']:.3f} ± {error:.3f}"
            measured = [*(percent(row[key]) for key in keys), mae, f"{row['corr']:.3f}"]
            measured.append(_change(row, "ece_before", "ece"))
            measured.append(f"{percent(row['interval_coverage'])}" if "interval_coverage" in row else UNDEFINED)
        else:
            measured = [checkpoint_tables.one_modality(row), *[UNDEFINED] * 6]
        rows.append([row["test_set"], modalities(row["modalities"]), str(row["n"]), *measured])
    header = ["test set", "modalities", "n", "Acc-2 Non0 %", "Acc-2 Has0 %", "Acc-7 %", "MAE", "Pearson r"]
    nominal = {percent(row["interval_nominal"]) for row in result["rows"] if "interval_nominal" in row}
    held = f"truth in interval % (nominal {', '.join(sorted(nominal)) or UNDEFINED})"
    return table([*header, "ECE %, raw → calibrated", held], rows) + "".join(map(_draws, result["rows"]))


def _draws(row: dict[str, Any]) -> str:
    """What the row of all three modalities adds to the table; nothing for the others."""
    if "best_pair" not in row:
        return ""
    apart, error = row["mae_minus_best_pair"], row["mae_minus_best_pair_standard_error"]
    return (
        f"\nComposed rows: means over {row['draws']} draws of voices and faces, MAE ± standard error. All three less "
        f"the best pair ({modalities(row['best_pair'])}): MAE {apart:+.4f} ± {error:.4f}.\n"
    )


def calibration_table(result: dict[str, Any]) -> str:
    """Temperatures and intervals per subset, fitted on validation clips."""
    rows = [
        [
            modalities(row["modalities"]),
            f"{row['n']} of {row['sentences']} sentences",
            f"{row['temperature']:.2f}",
            _change(row, "ece_before", "ece"),
            f"-{row['below']:.2f} / +{row['above']:.2f} ({percent(row['coverage'])} %)",
        ]
        for row in result["rows"]
    ]
    header = ["modalities", "validation clips", "temperature", "ECE %, raw → calibrated", "interval around the score"]
    return table(header, rows)


def maps_table(result: dict[str, Any]) -> str:
    """Which words the steps of audio and video are matched to on real clips."""
    rows = [
        [
            row["modality"],
            row["variant"],
            f"{row['distinct_words']:.1f} of {row['words']:.1f}",
            percent(row["entropy_share"]),
            percent(row["near_share"]),
            percent(row["nearest_share"]),
            UNDEFINED if row["variant"] == "chance" else f"{row['clips_nearer_than_chance']} of {row['clips']}",
        ]
        for row in result["rows"]
    ]
    header = ["modality", "choice", "distinct words", "entropy, % of most", "word within .5 s, % of steps"]
    return table([*header, "nearest word, % of steps", "clips above chance"], rows)


def realclips_table(result: dict[str, Any]) -> str:
    """Predictions of the checkpoint for clips of real people."""
    rows = []
    for row in result["rows"]:
        scores = [each["score"] for each in row["per_clip"]]
        right = UNDEFINED if row["right"] is None else f"{row['right']} of {row['n']}"
        rows.append([row["question"], str(row["n"]), right, f"{min(scores):+.2f} to {max(scores):+.2f}"])
    return table(["question", "clips", "right", "scores"], rows)


def recognised_table(result: dict[str, Any]) -> str:
    """True against recognised words of the same sentences."""

    def pair(row: dict[str, Any], metric: str, write: Callable[[float], str]) -> str:
        names = f"{metric}_true", f"{metric}_recognised"
        return " / ".join(write(row[name]) for name in names) if names[0] in row else UNDEFINED

    rows = [
        [
            row["source"],
            str(row["n"]),
            percent(row["word_error_rate"]),
            pair(row, "acc2_non0", percent),
            pair(row, "mae", lambda value: f"{value:.3f}"),
            f"{row['score_difference_mean']:.2f} / {row['score_difference_max']:.2f}",
            str(row["sign_changed"]),
        ]
        for row in result["rows"]
    ]
    header = ["speech", "sentences", "word errors %", "Acc-2 Non0 %, true / recognised", "MAE, true / recognised"]
    return table([*header, "score apart, mean / most", "sign changed"], rows)


def scan_table(result: dict[str, Any]) -> str:
    """Milliseconds of the scan by implementation and shape."""
    shapes = sorted({(row["batch"], row["length"]) for row in result["rows"]})
    implementations = list(dict.fromkeys(row["implementation"] for row in result["rows"]))
    found = {(row["implementation"], row["batch"], row["length"]): row for row in result["rows"]}

    def cell(row: dict[str, Any] | None) -> str:
        if row is None or row.get("forward_ms") is None:
            return UNDEFINED
        both = row.get("forward_backward_ms")
        return f"{row['forward_ms']:.3g} / {both:.3g}" if both is not None else f"{row['forward_ms']:.3g} / {UNDEFINED}"

    rows = [[name, *(cell(found.get((name, *shape))) for shape in shapes)] for name in implementations]
    return table(["forward / forward + backward, ms", *(f"B{b} L{n}" for b, n in shapes)], rows)


def _rounded(value: float | None) -> str:
    """A cost as a whole number; below ten with its first decimal, which a GPU's milliseconds need."""
    return UNDEFINED if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def fusion_table(result: dict[str, Any]) -> str:
    """Time and memory of whole models by length."""
    rows = [
        [
            str(row.get("batch", 1)),
            row["model"],
            f"{row['tokens']:,}",
            _rounded(row.get("time_ms")),
            _rounded(row.get("peak_mb")),
            UNDEFINED if row.get("gflop") is None else f"{row['gflop']:,.1f}",
            row["status"],
        ]
        for row in result["rows"]
    ]
    return table(["batch", "model", "tokens", "time, ms", "peak memory, MB", "GFLOP", "status"], rows)


# Which tables of `training.experiments` and its `choose` are committed, by settings file.
EXPERIMENT_TABLES = {
    "complete": experiment_tables.metrics_table,
    "missing": experiment_tables.rates_table,
    "fixed": experiment_tables.sets_table,
    "ablation": experiment_tables.metrics_table,
    "imbalanced": experiment_tables.settings_table,
    "missmac": experiment_tables.settings_table,
    "lnln": experiment_tables.rates_table,
    "distance": experiment_tables.distance_table,
    "choice": experiment_tables.choice_table,
    "missing_choice": experiment_tables.choice_table,
}
EXPERIMENTS = {
    "mosi-utterance": (
        *("complete", "missing", "fixed", "imbalanced", "missmac", "lnln"),
        *("ablation", "distance", "choice", "missing_choice"),
    ),
    "mosi-utterance-folds": ("complete", "missing"),
    "mmmo": ("complete",),
    "mmmo-avl": ("complete",),
}
TABLES: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "checkpoint": (CHECKPOINT / "metrics.json", checkpoint_table),
    "calibration": (CHECKPOINT / "calibration.json", calibration_table),
    "maps": (CHECKPOINT / "maps.json", maps_table),
    "realclips": (CHECKPOINT / "realclips.json", realclips_table),
    "recognised": (CHECKPOINT / "recognised.json", recognised_table),
    "seeds": (CHECKPOINT / "seeds.json", checkpoint_tables.seeds_table),
    "unseen-people": (CHECKPOINT / "unseen_people.json", checkpoint_tables.unseen_people_table),
    "unseen-people-without-mmd": (CHECKPOINT / "unseen_people_without_mmd.json", checkpoint_tables.unseen_people_table),
    "face-readouts": (MADE / "composed" / "face_readouts.json", checkpoint_tables.face_readouts_table),
    "emotions": (CHECKPOINT / "emotions" / "emotions.json", checkpoint_tables.emotions_table),
    "opensmile": (OPENSMILE / "metrics.json", checkpoint_table),
    "opensmile-calibration": (OPENSMILE / "calibration.json", calibration_table),
    "opensmile-seeds": (OPENSMILE / "seeds.json", checkpoint_tables.seeds_table),
    "variants": (MADE / "composed" / "variants.json", checkpoint_tables.variants_table),
    "planted": (MADE / "planted" / "planted.json", experiment_tables.planted_table),
    "planted-schedule": (MADE / "planted" / "schedule.json", experiment_tables.planted_table),
    "planted-wide": (MADE / "planted" / "wide.json", experiment_tables.planted_table),
    **{
        f"{dataset}-{name}": (MADE / dataset / f"{name}.json", render)
        for dataset, names in EXPERIMENTS.items()
        for name, render in EXPERIMENT_TABLES.items()
        if name in names
    },
    "clip": (RESULTS / "clip-cpu.json", waiting_tables.clip_table),
    "clip-against": (RESULTS / "clip-against-cpu.json", waiting_tables.against_table),
    "screen": (RESULTS / "screen-cpu.json", waiting_tables.screen_table),
    "parts": (SPEECH_RESULTS / "parts-cpu.json", checkpoint_tables.parts_table),
    "speakers": (SPEECH_RESULTS / "speakers-cpu.json", checkpoint_tables.speakers_table),
    "fuzz": (RESULTS / "fuzz.json", security_tables.fuzz_table),
    "soak": (RESULTS / "soak.json", security_tables.soak_table),
    "container": (RESULTS / "container-cpu.json", security_tables.container_table),
    "scan-cpu": (RESULTS / "scan-cpu.json", scan_table),
    "fusion-cpu": (RESULTS / "fusion-cpu.json", fusion_table),
    "fusion-cpu-ratios": (RESULTS / "fusion-cpu.json", efficiency.ratios_table),
    "scan-cuda": (GPU_RESULTS / "scan-cuda.json", scan_table),
    "fusion-cuda": (GPU_RESULTS / "fusion-cuda.json", fusion_table),
    "fusion-cuda-ratios": (GPU_RESULTS / "fusion-cuda.json", efficiency.ratios_table),
}
# Tables with a figure next to them, in docs/figures/.
FIGURES = tuple(
    name
    for name, (_, render) in TABLES.items()
    if render
    in (
        experiment_tables.metrics_table,
        experiment_tables.rates_table,
        experiment_tables.sets_table,
        experiment_tables.settings_table,
        experiment_tables.choice_table,
    )
)
# A selection of the rows of those above, for the README.
SHORT_TABLES: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "checkpoint-short": (TABLES["checkpoint"][0], short_tables.checkpoint_table),
    "mosi-utterance-short": (TABLES["mosi-utterance-missing"][0], short_tables.missing_table),
    "fusion-cpu-short": (TABLES["fusion-cpu"][0], short_tables.fusion_table),
}


def named(name: str) -> str:
    """Render one table, or a note where its result file is missing; "paper-..." quotes tables of the paper.

    Raises:
        ValueError: If the name is unknown.
    """
    if name.startswith("paper-"):
        return experiment_tables.quoted(json.loads(PAPER.read_text(encoding="utf-8")), name.split("-")[1:])
    tables = TABLES | SHORT_TABLES
    if name not in tables:
        raise ValueError(f"table: {name!r}, expected one of {sorted(tables)}")
    path, render = tables[name]
    if not path.exists():
        return f"*{NOT_MEASURED}: `{path.relative_to(ROOT)}` is not there.*\n"
    result = json.loads(path.read_text(encoding="utf-8"))
    return render(result) + _figure(name, result) + _source(path, result)


def _figure(name: str, result: Mapping[str, Any]) -> str:
    if name not in FIGURES:
        return ""
    return f"\n![{figures.dots(result)[1]}](figures/{name}.svg)\n"


def rendered(text: str) -> str:
    """A document with all its tables rendered again."""
    return MARKED.sub(lambda found: f"{found[1]}\n{named(found['name'])}\n{found[3]}", text)


def drawings() -> dict[Path, str]:
    """Every figure of the documents, as SVG, of the results that are there."""
    sources = {figures.path(name): (TABLES[name][0], figures.svg) for name in FIGURES}
    for name in ("fusion-cpu", "fusion-cuda"):
        sources[ROOT / "docs" / f"{name}.svg"] = TABLES[name][0], efficiency.figure
    return {
        path: draw(json.loads(source.read_text(encoding="utf-8")))
        for path, (source, draw) in sources.items()
        if source.exists()
    }


def main() -> int:
    """Rewrite the documents; with --check only report whether they are up to date."""
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
    for path, fresh in drawings().items():
        if not path.exists() or path.read_text(encoding="utf-8") != fresh:
            stale.append(str(path.relative_to(ROOT)))
            if not arguments.check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(fresh, encoding="utf-8")
    print(f"{'out of date' if arguments.check else 'rewritten'}: {', '.join(stale) or 'none'}")
    return int(arguments.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
