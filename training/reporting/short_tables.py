"""Short tables for the README: the rows that answer the first question, picked by rule and not by hand."""

from __future__ import annotations

from typing import Any

from training.reporting import efficiency
from training.reporting.checkpoint_tables import one_modality
from training.reporting.experiment_tables import OURS, RATE
from training.reporting.markdown import UNDEFINED, modalities, percent, table

BEST = 5  # models shown beside ours
SHOWN_RATES = ("0.3", "0.7")


def checkpoint_table(result: dict[str, Any]) -> str:
    """Every test set of the shipped checkpoint once, with the most modalities that it was measured with.

    Left out: neutral recordings, and voices with SAVEE, whose sentences differ by emotion, where they are also measured
    without it.
    """
    names = {row["test_set"] for row in result["rows"]}
    best: dict[str, dict[str, Any]] = {}
    for row in result["rows"]:
        if row["test_set"].endswith("-neutral") or f"{row['test_set']}-without-savee" in names:
            continue
        shown = best.setdefault(row["test_set"], row)
        if len(row["modalities"]) > len(shown["modalities"]):
            best[row["test_set"]] = row
    rows = [[row["test_set"], modalities(row["modalities"]), str(row["n"]), *_measured(row)] for row in best.values()]
    return table(["test set", "modalities", "clips", "Acc-2 Non0 %", "MAE", "Pearson r"], rows)


def _measured(row: dict[str, Any]) -> list[str]:
    if "acc2_non0" not in row:
        return [one_modality(row), UNDEFINED, UNDEFINED]
    return [percent(row["acc2_non0"]), f"{row['mae']:.3f}", f"{row['corr']:.3f}"]


def missing_table(result: dict[str, Any]) -> str:
    """Acc-2 Non0 on complete input and at missing rates: our model, and the best by the average over all rates."""
    accuracy: dict[str, dict[str, float]] = {}
    for row in result["rows"]:
        found = RATE.search(row["setting"])
        rate = found["rate"] if found else row["setting"]
        accuracy.setdefault(row["model"], {})[rate] = row["metric"]["acc2_non0"]["mean"]
    average = {model: _average(by_rate) for model, by_rate in accuracy.items()}
    ranked = sorted(average, key=lambda model: -average[model])
    shown = [model for place, model in enumerate(ranked) if place < BEST or model == OURS]
    rows = [
        [
            str(ranked.index(model) + 1),
            model,
            *(percent(accuracy[model][rate]) for rate in ("complete", *SHOWN_RATES)),
            percent(average[model]),
        ]
        for model in shown
    ]
    rates = [f"{100 * float(rate):.0f} % missing" for rate in SHOWN_RATES]
    legend = (
        f"\nAcc-2 Non0 in %, mean over {len(result['seeds'])} seeds. Ranked by the average over all missing rates: "
        f"the first {BEST} of {len(ranked)} models, and {OURS}.\n"
    )
    return table(["rank", "model", "complete", *rates, "average"], rows) + legend


def _average(by_rate: dict[str, float]) -> float:
    over = [value for rate, value in by_rate.items() if rate != "complete"]
    return sum(over) / len(over)


def fusion_table(result: dict[str, Any]) -> str:
    """Time and memory of whole models, one clip at once, at the greatest length that all of them were run at.

    The long table has AlignMamba-2, too, and the slides' slower Transformers, whose attention weights are stored.
    """
    measured = [
        row
        for row in efficiency.of_batch(result["rows"], 1)
        if not row["model"].endswith(efficiency.STORED) and row["model"] != "alignmamba-2"
    ]
    models = list(dict.fromkeys(row["model"] for row in measured))
    by_length: dict[int, dict[str, efficiency.Row]] = {}
    for row in measured:
        by_length.setdefault(row["tokens"], {})[row["model"]] = row
    tokens = max(length for length, rows in by_length.items() if len(rows) == len(models))
    rows = []
    for model in models:
        row = by_length[tokens][model]
        sizes = (UNDEFINED if row.get(key) is None else f"{row[key]:,.0f}" for key in ("peak_mb", "gflop"))
        rows.append([model, row["status"] if row.get("time_ms") is None else f"{row['time_ms']:,.0f}", *sizes])
    return table([f"model, {tokens:,} tokens", "time, ms", "peak memory, MB", "GFLOP"], rows)
