"""Tables of the checkpoint on one modality, over seeds, on new people, without a part; of speakers told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.reporting.markdown import (
    UNDEFINED,
    mean_and_deviation,
    modalities,
    percent,
    percent_and_deviation,
    table,
)
from training.reporting.summary import over_seeds


def one_modality(row: dict[str, Any]) -> str:
    """The figures of a row about one modality: happy against negative, or the bias on neutral clips."""
    if "mean_score" in row:
        return f"mean score {row['mean_score']:+.2f}, {percent(row['within_share'])} within ± 0.7"
    auc = f", AUC {row['auc']:.3f}" if "auc" in row else ""
    return f"{percent(row['balanced_accuracy'])} (balanced){auc}"


def seeds_table(result: dict[str, Any]) -> str:
    """The figures of the checkpoint table over all seeds: mean and standard deviation."""
    write = {
        "acc2_non0": percent_and_deviation,
        "balanced_accuracy": percent_and_deviation,
        "auc": mean_and_deviation,
        "mae": mean_and_deviation,
        "mean_score": mean_and_deviation,
    }
    rows = [
        [
            row["test_set"],
            modalities(row["modalities"]),
            *(write[key](row["metric"][key]) if key in row["metric"] else UNDEFINED for key in write),
        ]
        for row in result["rows"]
    ]
    header = ["test set", "modalities", "Acc-2 Non0 %", "balanced %", "AUC", "MAE", "mean score"]
    seeds = ", ".join(map(str, result["seeds"]))
    return table(header, rows) + f"\nMean ± standard deviation over the seeds {seeds}.\n"


def unseen_people_table(result: dict[str, Any]) -> str:
    """Real people left out of training one at a time; the last row is how audio steps are matched to video steps."""
    rows = []
    for row in result["rows"]:
        if "near_share" in row:
            found = ", ".join(f"{name} {percent(share)} %" for name, share in row["near_share"].items())
            matched = f"audio steps matched to video within {row['near_seconds']} s: {found}"
            rows.append([matched, str(row["n"]), *[UNDEFINED] * 5])
            continue
        rows.append(
            [
                modalities(row["modalities"]),
                str(row["n"]),
                f"{row['auc']:.3f}",
                percent(row["balanced_accuracy"]),
                f"{round(row['neutral_within_share'] * row['neutral_n'])} of {row['neutral_n']}",
                f"{row['neutral_mean_score']:+.2f}",
                f"{percent(row['ece_before'])} → {percent(row['ece'])}" if "ece" in row else percent(row["ece_before"]),
            ]
        )
    header = ["modalities", "clips", "AUC", "balanced %", "neutral within ± 0.7", "mean score of neutral", "ECE %"]
    return table(header, rows)


def face_readouts_table(result: dict[str, Any]) -> str:
    """Linear read-outs of faces alone, by what they read; where nothing was left out or chosen, nothing is there."""
    rows = [
        [
            row["statistics"],
            f"{row['inner_auc']:.3f}" if "inner_auc" in row else UNDEFINED,
            str(row["chosen_for"]) if "chosen_for" in row else UNDEFINED,
            f"{row['auc']:.3f}" if "auc" in row else UNDEFINED,
            percent(row["balanced_accuracy"]) if "balanced_accuracy" in row else UNDEFINED,
        ]
        for row in result["rows"]
    ]
    return table(
        ["statistics read", "AUC on training people", "chosen for", "AUC on people left out", "balanced %"], rows
    )


def emotions_table(result: dict[str, Any]) -> str:
    """How often the likeliest emotion word is right for people who were not trained on."""
    rows = [
        [
            row["people"],
            modalities(row["modalities"]),
            str(row["n"]),
            percent(row["balanced_accuracy"]),
            percent(row["chance"]),
            percent(row["ece"]),
            ", ".join(f"{name} {percent(share)}" for name, share in row["recall"].items()),
        ]
        for row in result["rows"]
    ]
    return table(["people", "from", "clips", "balanced %", "chance %", "calibration error %", "right, by word"], rows)


def speakers_table(result: dict[str, Any]) -> str:
    """How well speakers of composed clips are told apart."""
    rows = [
        [
            row["speakers"],
            row["people"],
            str(row["clips"]),
            percent(row["error_rate"]),
            percent(row["error_rate_p50"]),
            f"{row['right_count']} of {row['clips']}",
            str(row["too_few"]),
            str(row["too_many"]),
            f"{row['cpu_s_per_clip_s']:.3f}",
        ]
        for row in result["rows"]
    ]
    names = ["speakers", "people", "clips", "error rate %", "median %", "right number", "too few", "too many"]
    return table([*names, "computing time, share of the clip"], rows)


def parts_table(result: dict[str, Any]) -> str:
    """How right parts of clips are scored whose parts disagree."""
    rows = [
        [
            row["modality"],
            str(row["parts"]),
            row["described"],
            percent(row["acc2_non0"]) if "acc2_non0" in row else f"{percent(row['balanced'])} (balanced)",
            f"{row['mae']:.3f}" if "mae" in row else UNDEFINED,
            f"{row['corr']:.3f}" if "corr" in row else UNDEFINED,
        ]
        for row in result["rows"]
    ]
    return table(["from", "parts", "described", "Non0 Acc-2 %", "MAE", "Corr"], rows)


def variants_table(result: dict[str, Any]) -> str:
    """Settings of the method, each against the first: mean and standard deviation over seeds."""
    columns = {
        "acc2_non0": ("test Acc-2 Non0 %", percent_and_deviation),
        "mae": ("test MAE", mean_and_deviation),
        "corr": ("test Pearson r", mean_and_deviation),
        "voice_balanced": ("voices, balanced %", percent_and_deviation),
        "voice_balanced_8_khz": ("voices at 8 kHz, balanced %", percent_and_deviation),
        "video_auc": ("unseen faces, AUC", mean_and_deviation),
        "both_auc": ("unseen people, face + voice, AUC", mean_and_deviation),
        "near_share": ("simultaneous by content alone, % of steps", percent_and_deviation),
    }
    first = result["rows"][0]["metric"]
    known = [key for key in columns if key in first]
    rows = [
        [
            row["setting"],
            mean_and_deviation(row["validation_mae"]),
            _paired(row["metric"]["mae"], first["mae"]),
            *(columns[key][1](row["metric"][key]) if key in row["metric"] else UNDEFINED for key in known),
        ]
        for row in result["rows"]
    ]
    seeds = ", ".join(map(str, result["seeds"]))
    header = ["setting", "validation error", "test MAE, change", *(columns[key][0] for key in known)]
    legend = f"Mean ± standard deviation over the seeds {seeds}; a change is taken seed by seed against the first row."
    return f"{table(header, rows)}\n{legend}\n"


def _paired(found: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """Mean ± standard deviation of the differences between runs with the same seed; a dash for a run and itself."""
    if found is first:
        return UNDEFINED
    differences = [one - other for one, other in zip(found["per_seed"], first["per_seed"], strict=True)]
    return mean_and_deviation(over_seeds(differences))
