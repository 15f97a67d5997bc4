"""The paper's tables from result files of `training.experiments`, and the paper's own numbers apart from them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from training.reporting.markdown import (
    UNDEFINED,
    mean_and_deviation,
    modalities,
    percent,
    percent_and_deviation,
    table,
)

OURS = "alignmamba"
SHARES = ("acc2_has0", "acc2_non0", "f1_non0", "acc7")
RATE = re.compile(r"rate (?P<rate>[\d.]+)$")


BETTER, WORSE = "↑", "↓"  # than ours, over clips and seeds, Holm-corrected
OLDER = (
    "\nMade before predictions were measured unclipped and clips of which nothing is left were scored: MAE and r\n"
    "are of scores cut to ±3, the true missing rate is not stated, and no difference was tested.\n"
)


def _seeds(result: Mapping[str, Any]) -> str:
    return f"\nMean ± standard deviation over the seeds {', '.join(map(str, result['seeds']))}.\n" + _tested(result)


def _tested(result: Mapping[str, Any]) -> str:
    """How many clips a table was measured on, what was really missing, and what its marks mean."""
    rows = [row for row in result["rows"] if "reached_rate" in row]
    if not rows:
        return ""
    if any("n" not in row for row in rows):
        return OLDER
    first = rows[0]
    labels = f"{first['n']} labels of {first['clips']} clips" if first["n"] != first["clips"] else f"{first['n']} clips"
    missing = ", ".join(f"{name}: {rate} %" for name, rate in really_missing(rows).items())
    text = f"\nTested on {labels}, every one of them scored. Really missing: {missing}.\n"
    if lost := max(row["left_out"] for row in rows):
        scores = sorted({f"{row['fallback_score']:.2f}" for row in rows if row["left_out"]})
        text += f"\nUp to {lost:g} clips had nothing left; they get the mean training score ({', '.join(scores)}).\n"
    if any("against" in row for row in rows):
        text += (
            f"\n{BETTER} better, {WORSE} worse than {OURS}: Wilcoxon over clips, each with its mean over seeds, "
            "p < .05 after Holm's correction over the whole table.\n"
        )
    return text


def really_missing(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Missing rate of every protocol in percent; apart for models that are tested without a modality."""
    found: dict[str, str] = {}
    for row in rows:
        rate = percent(row["reached_rate"])
        if found.setdefault(row["setting"], rate) != rate:
            found[f"{row['setting']}, {row['model']}"] = rate
    return found


def mark(row: Mapping[str, Any], metric: str) -> str:
    """A mark behind a figure that differs from ours by more than chance; empty for others."""
    found = row.get("against", {}).get(metric)
    if not found or not found["significant"]:
        return ""
    higher = found["difference"] > 0
    return f" {BETTER if higher != (metric == 'mae') else WORSE}"


def metrics_table(result: dict[str, Any]) -> str:
    """Models on complete clips: one row each."""
    rows = [
        [
            row["model"],
            *(percent_and_deviation(row["metric"][key]) + mark(row, key) for key in SHARES),
            *(mean_and_deviation(row["metric"][key]) + mark(row, key) for key in ("mae", "corr")),
        ]
        for row in result["rows"]
    ]
    header = ["model", "Acc-2 Has0 %", "Acc-2 Non0 %", "F1 Non0 %", "Acc-7 %", "MAE", "Pearson r"]
    return table(header, rows) + _seeds(result)


def rates_table(result: dict[str, Any]) -> str:
    """Models by missing rate: Acc-2 Non0 / F1 Non0 in percent, their average and the drop from first to last."""
    by_model: dict[str, list[tuple[str, dict[str, Any], str]]] = {}
    for row in result["rows"]:
        if found := RATE.search(row["setting"]):
            measured = (found["rate"], row["metric"], mark(row, "acc2_non0"))
            by_model.setdefault(row["model"], []).append(measured)
    rates = [rate for rate, _, _ in next(iter(by_model.values()))]
    rows = []
    for model, found_at in by_model.items():
        pairs = [(metric["acc2_non0"]["mean"], metric["f1_non0"]["mean"]) for _, metric, _ in found_at]
        marks = [*(each for _, _, each in found_at), "", ""]
        mean = [sum(each) / len(pairs) for each in zip(*pairs, strict=True)]
        drop = [first - last for first, last in zip(pairs[0], pairs[-1], strict=True)]
        cells = zip((*pairs, mean, drop), marks, strict=True)
        rows.append([model, *(f"{percent(a)} / {percent(f)}{found}" for (a, f), found in cells)])
    header = ["model", *(f"{100 * float(rate):.0f} %" for rate in rates), "average", "drop"]
    protocol = RATE.sub("", result["rows"][-1]["setting"]).rstrip(", ")
    return table(header, rows) + f"\nAcc-2 / F1 in %, Non0; protocol: {protocol}." + _seeds(result)


def sets_table(result: dict[str, Any]) -> str:
    """Models by the modalities that every test clip keeps: Acc-2 Non0 in percent."""
    settings = list(dict.fromkeys(row["setting"] for row in result["rows"]))
    by_model: dict[str, list[str]] = {}
    for row in result["rows"]:
        cell = percent_and_deviation(row["metric"]["acc2_non0"]) + mark(row, "acc2_non0")
        by_model.setdefault(row["model"], []).append(cell)
    kept = ["".join(sorted(setting.removeprefix("fixed: ").split(), key="avl".index)) for setting in settings]
    header = ["model", *map(modalities, kept)]
    legend = "\nAcc-2 in %, Non0; a column names the modalities that every test clip keeps."
    return table(header, [[model, *cells] for model, cells in by_model.items()]) + legend + _seeds(result)


def settings_table(result: dict[str, Any]) -> str:
    """Models by protocol, one column each: Acc-2 Non0 in percent."""
    settings = list(dict.fromkeys(row["setting"] for row in result["rows"]))
    by_model: dict[str, list[str]] = {}
    for row in result["rows"]:
        cell = percent_and_deviation(row["metric"]["acc2_non0"]) + mark(row, "acc2_non0")
        by_model.setdefault(row["model"], []).append(cell)
    shared = {setting.rpartition("; ")[0] for setting in settings}
    name = shared.pop() if len(shared) == 1 else ""  # of the benchmark that all protocols belong to
    columns = [setting.removeprefix(f"{name}; ") for setting in settings]
    return (
        table(["model", *columns], [[model, *cells] for model, cells in by_model.items()])
        + "\nAcc-2 in %, Non0; a column names its protocol, as the result file does"
        + (f", without what all begin with: {name}." if name else ".")
        + _seeds(result)
    )


def distance_table(result: dict[str, Any]) -> str:
    """Proxy A-distance of aligned audio and video to the text."""
    rows = [
        [row["model"], *(mean_and_deviation(row["metric"][key], digits=2) for key in ("audio", "video"))]
        for row in result["rows"]
    ]
    return (
        table(["model", "audio to text", "video to text"], rows) + "\n0 to 2, lower is better aligned." + _seeds(result)
    )


def planted_table(result: dict[str, Any]) -> str:
    """Local alignment on the planted dataset, whose pairs are known."""
    rows = [
        [
            row["setting"],
            *(percent_and_deviation(row["metric"][key]) for key in ("validation_acc2_non0", "acc2_non0")),
            percent_and_deviation(row["metric"]["pairs_found"]) if "pairs_found" in row["metric"] else UNDEFINED,
        ]
        for row in result["rows"]
    ]
    return table(["setting", "validation Acc-2 %", "test Acc-2 %", "pairs found %"], rows) + _seeds(result)


def choice_table(result: dict[str, Any]) -> str:
    """Candidates for the settings, compared within the training part."""
    rows = [
        [
            row["setting"],
            percent_and_deviation(row["metric"]["acc2_has0"]),
            mean_and_deviation(row["metric"]["mae"]),
            mean_and_deviation(row["metric"]["mae_over_rates"]),
        ]
        for row in result["rows"]
    ]
    legend = "\nMean ± standard deviation over folds of the training part, all corrupted as the settings say.\n"
    return table(["candidate", "Acc-2 Has0 %", "MAE", "MAE, 0 to 70 % missing"], rows) + legend


def quoted(paper: Mapping[str, Any], tables: Sequence[str]) -> str:
    """What the paper reports in some of its tables, as a quotation."""
    parts = []
    for name in tables:
        rows = [row for row in paper["rows"] if row["table"] == name]
        for dataset in dict.fromkeys(row["dataset"] for row in rows):
            body = _quoted_rows([row for row in rows if row["dataset"] == dataset])
            parts.append(f"*{name}, CMU-{dataset.upper()}*\n\n{body}")
    parts.append(f"As printed in {paper['source']}; accuracy / F1 in %, binary.\n")
    return "".join(f"> {line}".rstrip() + "\n" for line in "\n".join(parts).splitlines())


def _quoted_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row per model; a column per missing rate, or one."""
    if "audio" in rows[0]:
        return table(
            ["model", "audio", "video"], [[row["model"], f"{row['audio']:.2f}", f"{row['video']:.2f}"] for row in rows]
        )
    columns = list(dict.fromkeys(row.get("missing_percent") for row in rows))
    by_model: dict[str, list[str]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(f"{row['accuracy_percent']} / {row['f1_percent']}")
    names = ["accuracy / F1" if column is None else f"{column} %" for column in columns]
    return table(["model", *names], [[model, *cells] for model, cells in by_model.items()])
